"""What commands show, as values."""
