"""A real Kubernetes cluster of two nodes on this machine, in namespaces of its own, from nothing to Ready in half a minute."""
