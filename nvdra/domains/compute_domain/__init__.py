"""The life of a ComputeDomain, in the controller. Statechart: compute-domain.yaml."""
