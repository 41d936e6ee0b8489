"""The one place that knows BlackDynamite: connections, creation, tasks, changes."""
