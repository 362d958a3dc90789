"""A kubelet, faithful in what a DRA plugin can see of it."""
