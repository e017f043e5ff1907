"""The fast engine: a system becomes machine code."""

from shootdown.check.native.engine import explore

__all__ = ["explore"]
