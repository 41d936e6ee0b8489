"""What this machine gives: processes, clock, locks, files, logs."""
