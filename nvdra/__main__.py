"""`python -m nvdra`."""

from nvdra.cli import main

main()
