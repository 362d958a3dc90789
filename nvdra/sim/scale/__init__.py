"""What racks of thousands of nodes and thousands of ComputeDomains cost: a real controller, scripted nodes."""
