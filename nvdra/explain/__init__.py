"""`nvdra explain`: what a ComputeDomain is, why, and what to do next, from what the API server shows. Pure."""
