"""The life of an IMEX daemon's claim, on its node. Statechart: daemon-claim.yaml."""
