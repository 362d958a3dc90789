"""A rack that is not there: nothing outside this package imports it."""
