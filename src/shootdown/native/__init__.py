"""Machine code: from LLVM IR text, and from a subset of Python."""
