"""``python -m shootdown``, and where the ``shootdown`` command begins."""

from __future__ import annotations

import gc
import os
import sys

from shootdown.interrupts import quit_on_interrupt


def main() -> int:
    """Run the command line of this process; gives the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by ``2>&-``
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    quit_on_interrupt()
    gc.set_threshold(100_000, 50, 100)  # trees with hardly a cycle: it would be a tenth of the time
    from shootdown import commands

    commands.alone = True
    return commands.main()


if __name__ == "__main__":
    sys.exit(main())
