"""The relay, which carries connections from another host to the workflow's: it has few imports."""
