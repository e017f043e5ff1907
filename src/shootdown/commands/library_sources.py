"""A digest of the sources of the library, taken before anything of it is imported."""

from __future__ import annotations

from shootdown.native.cache import digest_of

_PARTS = ("lang", "hardware", "linux", "races", "errors.py")

SOURCES = digest_of(*_PARTS)
"""What the library is made of: its models and the compiler."""


def unchanged() -> bool:
    """Whether the sources are still what they were: so what was imported since is what they say."""
    return digest_of(*_PARTS) == SOURCES
