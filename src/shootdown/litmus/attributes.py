"""Memory attributes: what an access may do depends on them for exclusive and atomic accesses only.

To other memory than Normal, shareable and Write-Back it is IMPLEMENTATION DEFINED whether these are
done or take a fault of their own (Arm ARM, ESR_ELx.DFSC 0b110101).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shootdown.litmus.errors import Unsupported
from shootdown.litmus.propositions import Cause, FaultAtom, atoms
from shootdown.litmus.values import Address, Attributes

if TYPE_CHECKING:
    from shootdown.litmus.tables import Tables

ATOMIC = ("update", "load exclusive", "store exclusive")


def check_attributes(tables: Tables) -> None:
    """:class:`~shootdown.litmus.errors.Unsupported` where such a fault could happen, or is asked
    for."""
    test = tables.test
    propositions = (test.condition.proposition, test.filter)
    asked = [atom for part in propositions if part is not None for atom in atoms(part)]
    for atom in (*asked, *test.watched):
        if isinstance(atom, FaultAtom) and atom.type and atom.type.cause is Cause.EXCLUSIVE:
            raise Unsupported(f"fault {atom.type}", file=test.file)
    for local, point in tables.points.items():
        effect = point.effect
        if effect is not None and effect.kind in ATOMIC and isinstance(effect.place, Address):
            for pte in tables.descriptors(effect.place.name):
                if pte.valid and not write_back(pte.attributes):
                    what = f"an exclusive or atomic access to memory that is {pte.attributes}"
                    raise tables.executor.unsupported(local, what)


def write_back(attributes: Attributes) -> bool:
    """Normal, shareable and Write-Back."""
    cached = (attributes.inner, attributes.outer) == ("WB", "WB")
    return attributes.device is None and cached and attributes.shareability != "NSH"
