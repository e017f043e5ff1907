"""TLBI and DSB: invalidation by broadcast, without interrupts, as Arm has it.

A TLB maintenance instruction is *posted*: it reaches each processing element (PE) some time later.
Only a DSB executed by the PE that issued it waits for that (Arm ARM DDI 0487, D8.17 "TLB
maintenance": its completion is guaranteed only by a DSB of the observer that performed it; quoted
by Linux 4b634918384c). Software of the target takes no part: interrupts may be off, and it may be a
device that snoops the broadcasts.

Each PE keeps, for each target, the pages that it has asked for and that the target has not
invalidated yet. Several requests of one PE to one target merge, and a target serves all that are
posted by one PE at once. No behaviour that matters is lost: to arrive late is the worse case, and a
DSB waits for all of them.
"""

from __future__ import annotations

from shootdown.hardware.machine import Cpu, Page
from shootdown.lang import Array, Option, atomic, this, when

DSB = Option(
    "dsb",
    "own",
    choices=("own", "all"),
    doc="A DSB waits for the TLBIs of its own PE (the architecture), or for everybody's, as Linux "
    "6.6 to 6.15 assumed in arch_flush_tlb_batched_pending().",
)


STRAWMAN = Option(
    "strawman",
    "none",
    choices=(
        "none",
        "no-tlb",
        "fills-on-use",
        "caches-invalid",
        "caches-unaccessed",
        "stale-dirty",
        "ignores-permission",
        "ignores-access-flag",
        "flags-never-set",
        "dirty-speculatively",
        "tlbi-local",
        "tlbi-everywhere",
        "tlbi-at-issue",
        "tlbi-nothing",
        "dsb-waits-for-nothing",
        "dsb-waits-for-all",
    ),
    doc="Arm hardware with a mistake, which litmus tests must notice (docs/litmus.md says which).",
    tacit=True,
)


class Pe(Cpu):
    """A processing element. ``posted``: for each target, the pages of its TLBIs that have not
    taken effect there."""

    posted: Array[Cpu, set[Page]]


@atomic
def broadcast(issuer: Pe, pages: set[Page]) -> None:
    """A PE posts a TLBI to the inner shareable domain. Whatever translates one of the addresses
    goes, whatever its size."""
    if STRAWMAN == "tlbi-local":
        post(issuer, pages)
        return
    for target in Cpu:
        issuer.posted[target] = issuer.posted[target] | pages


@atomic
def post(issuer: Pe, pages: set[Page]) -> None:
    """A PE posts a TLBI without IS: it stays on that PE."""
    if STRAWMAN == "tlbi-everywhere":
        for target in Cpu:
            issuer.posted[target] = issuer.posted[target] | pages
        return
    issuer.posted[issuer] = issuer.posted[issuer] | pages


@atomic
def complete(issuer: Pe) -> bool:
    """Whether every TLBI that a PE has issued is complete everywhere."""
    if STRAWMAN == "dsb-waits-for-nothing":
        return True
    return not any(issuer.posted[target] for target in Cpu)


@atomic(show="tlbi", role="flush")
def tlbi_is(pages: set[Page]) -> None:
    """TLBI VALE1IS for each page, RVALE1IS, or ASIDE1IS (all pages)."""
    broadcast(this(Pe), pages)


@atomic(show="tlbi (local)", role="flush")
def tlbi_local(pages: set[Page]) -> None:
    """TLBI VALE1 and the like."""
    post(this(Pe), pages)


@atomic(show="dsb(ish)", role="ack")
def dsb_ish() -> None:
    """Wait until every TLBI that this PE has issued is complete everywhere."""
    if DSB == "own":
        when(complete(this(Pe)))
    else:
        when(all(complete(issuer) for issuer in Pe))


@atomic(show="dsb(nsh)", role="ack")
def dsb_nsh() -> None:
    """Wait for this PE's local TLBIs."""
    me = this(Pe)
    when(not me.posted[me])
