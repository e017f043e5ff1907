"""Reductions: searching fewer states, with the same verdict."""
