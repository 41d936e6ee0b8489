"""Slurm: options, commands, and what they print."""
