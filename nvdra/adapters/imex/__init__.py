"""nvidia-imex from outside: where its programs are, and the one that is asked."""
