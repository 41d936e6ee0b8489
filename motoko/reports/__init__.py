"""The content of what commands show, as values."""
