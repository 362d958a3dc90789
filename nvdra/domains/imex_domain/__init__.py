"""The life of one <ComputeDomain, clique>, in the controller. Statechart: imex-domain.yaml."""
