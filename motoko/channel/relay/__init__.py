"""What carries connections from another host to the workflow's: a process of few modules."""
