"""Motoko runs workflows of BlackDynamite studies."""
