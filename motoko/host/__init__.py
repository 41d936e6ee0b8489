"""What this machine provides: processes, clock, locks, files, logs."""
