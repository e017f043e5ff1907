"""The fast engine: a system becomes machine code."""

from shootdown.check.native.engine import Prepared, explore

__all__ = ["Prepared", "explore"]
