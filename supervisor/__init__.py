"""The parent process: starts, watches, restarts and stops a workflow's daemons."""
