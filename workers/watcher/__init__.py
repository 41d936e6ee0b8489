"""The watcher: detects every run-state change from the ZEO servers' commits."""
