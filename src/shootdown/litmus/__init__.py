"""AArch64 litmus tests with page tables, in the format of herdtools7: reading and judging.

* ``parse``: a file to a :class:`~shootdown.litmus.model.LitmusTest`.
* ``model``: what a parsed test is made of; ``instructions``, ``values`` and ``propositions`` are
  its parts.
* ``condition``: whether a final state satisfies a condition, and how a state is printed.
* ``expected``: other people's answers, from a JSON file.
"""

from shootdown.litmus.condition import FinalState, holds, show_state
from shootdown.litmus.errors import LitmusError, LitmusSyntaxError, Unsupported
from shootdown.litmus.model import LitmusTest
from shootdown.litmus.parse import parse_file, parse_text

__all__ = [
    "FinalState",
    "LitmusError",
    "LitmusSyntaxError",
    "LitmusTest",
    "Unsupported",
    "holds",
    "parse_file",
    "parse_text",
    "show_state",
]
