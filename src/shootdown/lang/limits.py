"""How large a model may be. Beyond these a search could not end, so it is refused at once."""

from __future__ import annotations

MAX_BOUND = 65_536
"""The greatest value of a scenario's bound."""
MAX_STATE_BITS = 4096
"""The size of one state."""
MAX_VARIABLES = 65_536
"""The variables of the fields that are mentioned; what is constant is dropped only later."""
MAX_EXPRESSIONS = 500_000
"""What the compiler evaluates, once calls are inlined and loops unrolled: 10 to 20 seconds."""
