"""The supervisor's children: one module each, each run as ``python -m motoko.workers.<name>``."""
