"""The launcher of a study: starts its CREATED runs as soon as the bus tells of them."""
