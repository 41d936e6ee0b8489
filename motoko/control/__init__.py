"""Talking to a workflow's supervisor, and who it is."""
