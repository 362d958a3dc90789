"""nvdra: NVIDIA GPUs and ComputeDomains for Kubernetes DRA, as a declarative state-machine engine."""

__version__ = "0.1.0"
