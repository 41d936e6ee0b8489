"""How reports look: tables, lines, JSON, live progress."""
