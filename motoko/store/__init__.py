"""The one place that knows BlackDynamite, ZODB and ZEO."""
