"""Slurm: its options, its commands, and their output."""
