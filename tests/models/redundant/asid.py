"""The arm64 ASID allocator."""

from __future__ import annotations

from models.excuses import Excuse, Kind

ASID = (
    Excuse(
        "slow_path: lock cpu_asid_lock",
        "ASID.forever ASID.once",
        Kind.NOT_AT_STAKE,
        "one CPU, as long as the bounds are not changed: nobody else allocates",
    ),
)
