"""Checks whether Motoko can run well in a place, and packs what helpers need to know."""
