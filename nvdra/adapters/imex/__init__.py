"""What is known of nvidia-imex from outside: its files, its programs and what its words mean."""
