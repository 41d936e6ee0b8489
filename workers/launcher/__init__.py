"""The launcher of a study: starts its CREATED runs as soon as the bus announces them."""
