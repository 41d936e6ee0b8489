"""The notifier: it tells people what has happened to the workflow."""
