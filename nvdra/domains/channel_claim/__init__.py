"""The life of a worker's channel claim, on its node. Statechart: channel-claim.yaml."""
