"""The workflow in a browser."""
