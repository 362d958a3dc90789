"""The outside world behind the ports: one module a neighbour. Nothing here decides; the domains do."""
