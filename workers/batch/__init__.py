"""Runs as jobs of a batch system: submitting them, and always knowing what became of them."""
