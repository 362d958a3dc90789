"""The loop: keys in, orders out. Knows core; knows no Kubernetes and no domain."""
