"""The arm64 ASID allocator against TLBs that keep what they have: ``docs/asid.md``.

The yardstick is kernel-tla's ``asidalloc.tla`` (Catalin Marinas, 2018 to 2021): two CPUs that
switch between processes for ever, and somebody who unmaps pages of any process at any time. Bounds
have the meaning that its configuration gives them: ``asids`` counts ASID0, which no process has,
and there must be more of the others than CPUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shootdown.errors import UsageError
from shootdown.hardware.arm64_asid import Asid, arm64_asid, run
from shootdown.lang import (
    WRITE_ONCE,
    Object,
    Scenario,
    Setup,
    Thread,
    atomic,
    choose,
    event,
    path,
    scenario,
)
from shootdown.linux.arch.arm64.context import (
    AsidCpu,
    AsidMm,
    Context,
    Generation,
    Reclaim,
    asid_generation,
    asid_map,
    check_and_switch_context,
    try_to_unmap_one,
)
from shootdown.races import asid_properties as prop

ALWAYS = (prop.one_space_per_asid, prop.flush_reaches_all, prop.same_asid_everywhere)
SHARED = (*ALWAYS, prop.own_asid_everywhere)
GOALS = (prop.rolled_over, prop.kept, prop.handed_on)


@path
def another(prev: AsidMm | None) -> AsidMm:
    """The timer interrupts a process, and the scheduler chooses any other one."""
    event("timer interrupt")
    mm = choose({other for other in AsidMm if other != prev})
    check_and_switch_context(mm)
    return mm


@path(show="CPU")
def run_some(running: AsidMm, *, rounds: int) -> None:
    """Run a process, then others."""
    prev = running
    for _ in range(rounds):
        prev = another(prev)


@path(show="CPU")
def run_forever() -> None:
    """Run one process after the other."""
    prev: AsidMm | None = None
    while True:
        prev = another(prev)


@path(show="reclaim")
def unmap_some(*, unmaps: int) -> None:
    """Unmap the page of any process."""
    for _ in range(unmaps):
        try_to_unmap_one(choose(AsidMm))


@path(show="reclaim")
def unmap_forever() -> None:
    """Unmap the page of any process, again and again."""
    while True:
        try_to_unmap_one(choose(AsidMm))


@atomic
def all_allocated() -> None:
    """The first processes have all ASIDs and have run on every CPU, which may have kept what it
    cached of them. The CPUs run the last of these. The others had the last ASID in the generation
    before."""
    WRITE_ONCE(asid_generation, 2)
    for mm in AsidMm:
        mm.context_id = Context(asid=Asid(len(Asid) - 1), generation=1)
    for asid in Asid:
        if asid != Asid(0):
            mm = AsidMm(asid.index - 1)
            mm.context_id = Context(asid=asid, generation=2)
            asid_map.add(asid)
            for cpu in AsidCpu:
                cpu.holds[asid].add(mm)
    for cpu in AsidCpu:
        mm = AsidMm(len(Asid) - 2 - cpu.index)
        cpu.active_asid = mm.context_id
        run(cpu, mm, mm.context_id.asid)


def sizes(cpus: int, tasks: int, asids: int, generations: int) -> dict[type[Object], int]:
    """How many there are of each."""
    if asids - 1 <= cpus:
        raise UsageError("the allocator needs more ASIDs than CPUs, not counting ASID0")
    if tasks < asids:
        raise UsageError("with an ASID for every task there is no rollover")
    return {
        AsidCpu: cpus,
        AsidMm: tasks,
        Asid: asids,
        Generation: generations,
        Reclaim: 1,
    }


def allocator(
    name: str,
    title: str,
    *,
    violates: str | None = None,
    aliases: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    check: Sequence[Any] = ALWAYS,
    goals: Sequence[Any] = GOALS,
) -> Scenario:
    """All ASIDs are taken. CPUs switch to other processes while somebody unmaps a page."""

    @scenario(
        name,
        expect="VIOLATED" if violates else "HOLDS",
        violates=violates,
        aliases=aliases,
        title=title,
    )
    def build(
        cpus: int = 2,
        tasks: int = 4,
        asids: int = 4,
        generations: int = 4,
        rounds: int = 1,
        unmaps: int = 1,
    ) -> Setup:
        wanting = generations < 2 + cpus * rounds  # a CPU may have to wait for another one
        return Setup(
            sizes=sizes(cpus, tasks, asids, generations),
            start=all_allocated,
            threads=[
                *[
                    Thread(
                        run_some,
                        AsidMm(asids - 2 - c),
                        on=AsidCpu(c),
                        rounds=rounds,
                        daemon=wanting,
                    )
                    for c in range(cpus)
                ],
                Thread(unmap_some, on=Reclaim(0), unmaps=unmaps),
            ],
            hardware=arm64_asid,
            invariants=[*check],
            goals=[*goals],
            options=dict(options or {}),
        )

    return build


@scenario(
    "ASID.forever",
    expect="HOLDS",
    title="switches and unmaps without end: the yardstick (kernel-tla asidalloc.tla)",
)
def forever(cpus: int = 1, tasks: int = 3, asids: int = 3, generations: int = 2) -> Setup:
    """Switches and unmaps without end, from boot: the yardstick."""
    return Setup(
        sizes=sizes(cpus, tasks, asids, generations),
        threads=[
            *[Thread(run_forever, on=AsidCpu(c), daemon=True) for c in range(cpus)],
            Thread(unmap_forever, on=Reclaim(0), daemon=True),
        ],
        hardware=arm64_asid,
        invariants=[*ALWAYS],
        goals=[*GOALS],
    )


@scenario(
    "ASID.once",
    expect="HOLDS",
    title="switches without end, and one page is unmapped once: as much as ASID.forever",
)
def once(cpus: int = 1, tasks: int = 3, asids: int = 3, generations: int = 2) -> Setup:
    """``ASID.forever`` with one unmap of one process's page, which is enough.

    CPUs look at no TLB, and at ``mapped`` only to load the page while it is. So without some of the
    unmaps they can do the same steps, and may have the same translations cached at each of them, or
    more: loading one, and a TLBI that reaches a CPU, keep what is the larger set the larger one.
    More translations break no invariant less. INV-ASID-1 and INV-ASID-3 do not look at pages, so
    what breaks them needs no unmap. INV-ASID-2 is broken for a process whose page was flushed, and
    of all unmaps only the first one of this process is needed: its page is mapped until then, and
    flushed from its end on, with every other unmap or without. Processes can be exchanged.
    """
    return Setup(
        sizes=sizes(cpus, tasks, asids, generations),
        threads=[
            *[Thread(run_forever, on=AsidCpu(c), daemon=True) for c in range(cpus)],
            Thread(try_to_unmap_one, AsidMm(0), on=Reclaim(0)),
        ],
        hardware=arm64_asid,
        invariants=[*ALWAYS],
        goals=[*GOALS],
    )


TSO = {"memory": "tso"}
CNP = {"cnp": "on"}

ALLOC = (
    allocator(
        "ASID.alloc",
        "switches at the end of a generation, and a page is unmapped meanwhile",
        aliases=("ASID.50c387f.fixed", "ARM64-TLBI-ROLLOVER.fixed"),
        goals=(*GOALS, prop.moved),
    ),
    allocator(
        "ASID.alloc-tso",
        "the same with store buffers (5e10f9887ed8)",
        options=TSO,
        goals=(*GOALS, prop.moved),
    ),
    allocator(
        "ASID.50c387f",
        "a flush by an ASID that was read before the PTE was cleared (kernel-tla 50c387f)",
        violates="INV-ASID-2",
        options={"asid_read": "before-clear"},
    ),
    allocator(
        "ASID.v5.14",
        "the ASID is read before the DSB: the same with store buffers",
        violates="INV-ASID-2",
        aliases=("ARM64-TLBI-ROLLOVER",),
        options={"asid_read": "before-dsb", **TSO},
    ),
    allocator(
        "ASID.v5.14-sc",
        "the same without store buffers",
        options={"asid_read": "before-dsb"},
        goals=(*GOALS, prop.moved),
    ),
    allocator(
        "ASID.v4.15",
        "the fast path replaces active_asids also after a rollover (a8ffaaa060b8)",
        violates="INV-ASID-1",
        options={"asid_fast_path": "xchg"},
    ),
    allocator(
        "ASID.cnp",
        "CPUs that share a TLB walk nothing while they switch (5ffdfaedfa0a)",
        options=CNP,
        check=SHARED,
        goals=(*GOALS, prop.moved),
    ),
    allocator(
        "ASID.cnp-direct",
        "the same when they keep the old ASID until the end",
        violates="INV-ASID-4",
        options={**CNP, "cnp_switch": "direct"},
        check=(prop.own_asid_everywhere,),
    ),
    forever,
    once,
)
