"""The terminal view of `motoko top`."""
