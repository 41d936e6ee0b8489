"""Entry points that scripts written for motoko 0.1.4 call."""
