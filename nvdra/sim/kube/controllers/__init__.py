"""Stand-ins for kube-controller-manager, the MPI operator and GPU Feature Discovery."""
