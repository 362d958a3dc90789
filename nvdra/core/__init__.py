"""The statechart language: pure data and pure functions. No clock, no IO, no Kubernetes."""
