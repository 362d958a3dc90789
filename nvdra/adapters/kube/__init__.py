"""The Kubernetes API as the driver uses it: configuration, client, reflectors, Events, leader election."""
