"""Ways to search fewer states for the same verdict."""

from shootdown.check.reduce.reduction import NAMES, NONE, Reduction, Symmetry, reductions

__all__ = ["NAMES", "NONE", "Reduction", "Symmetry", "reductions"]
