"""`python -m nvdra`."""

from nvdra.start import main

main()
