"""A run's life on disk and in its entries."""
