"""The kubelet's plugin protocol: registration and DRA over gRPC on unix sockets, and a health service."""
