"""nvidia-imex on one node: its life under supervision, the files that it reads and what its words mean."""
