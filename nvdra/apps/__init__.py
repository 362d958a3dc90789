"""Wiring: one process each. Nothing is decided here."""
