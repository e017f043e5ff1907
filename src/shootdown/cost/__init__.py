"""Pricing: the paths of the checker at the size of a real machine, counted and timed."""
