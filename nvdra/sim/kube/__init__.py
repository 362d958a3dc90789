"""The parts of Kubernetes that a ComputeDomain needs, played on plain dict objects over `nvdra.ports.Cluster`."""
