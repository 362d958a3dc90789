"""Everything together on virtual time, in one process and from one seed: the driver's code in a world that does ill."""
