"""The gate: the one TCP port at which clients on other hosts reach the workflow."""
