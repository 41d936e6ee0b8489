"""Finds a workflow's supervisor, and talks to it."""
