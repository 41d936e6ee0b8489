"""Batch systems: what Motoko asks of one, and one folder for each."""
