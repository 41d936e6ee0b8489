"""The gate: other hosts come in here, at one TCP port, and nobody else."""
