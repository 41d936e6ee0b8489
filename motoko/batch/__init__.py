"""Batch systems: what Motoko requires of one, and a folder for each."""
