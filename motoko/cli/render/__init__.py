"""How reports are shown: tables, lines, JSON, live progress."""
