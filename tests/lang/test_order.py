"""Memory order: what x86-TSO store buffers allow, and what a barrier takes back."""

from __future__ import annotations

import pytest

from shootdown.check.native import explore as native
from shootdown.check.reference import explore as reference
from shootdown.check.result import Engine, Verdict
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Hardware,
    Object,
    Ref,
    Setup,
    SpinLock,
    Thread,
    atomic,
    atomic_inc,
    counter,
    ghost,
    invariant,
    on_write,
    path,
    rule,
    scenario,
    seen_by,
    smp_mb,
    stores_drained,
    this,
    when,
    xchg,
)
from shootdown.lang.scenario import Scenario

ENGINES = pytest.mark.parametrize("explore", [reference, native], ids=["reference", "native"])
DEPTHS = pytest.mark.parametrize("depth", [1, 2, 3])


class Cpu(Object, show="CPU{}"):
    """A CPU, and what it has read."""

    read: bool = ghost(False)
    done: bool = ghost(False)
    walked: bool = ghost(False)


class Shared(Object):
    """Memory."""

    x: bool
    y: bool
    lock: SpinLock
    count: int = counter(0, 2)
    history: bool = ghost(False)


@path
def store_then_load(mine: Ref[bool], other: Ref[bool], barrier: str) -> None:
    """One side of store buffering."""
    cpu = this(Cpu)
    if barrier == "xchg":
        xchg(mine, True)
    else:
        WRITE_ONCE(mine, True)
    if barrier == "smp_mb":
        smp_mb()
    seen = READ_ONCE(other)
    cpu.read = seen
    cpu.done = True


@path
def left(shared: Shared, barrier: str) -> None:
    """x, then y."""
    store_then_load(shared.x, shared.y, barrier)


@path
def right(shared: Shared, barrier: str) -> None:
    """y, then x."""
    store_then_load(shared.y, shared.x, barrier)


@invariant("SB")
def somebody_saw_something() -> bool:
    """both CPUs read the old value"""
    return not all(cpu.done and not cpu.read for cpu in Cpu)


def checked(
    explore: Engine, threads: list[Thread], options: dict[str, object], *rules: object
) -> Verdict:
    """The verdict on two threads with these options."""

    @scenario("order", expect="HOLDS")
    def build() -> Setup:
        return Setup(
            sizes={Cpu: 2, Shared: 1},
            threads=threads,
            hardware=Hardware("plain", rules=rules, observers=(remember,)),  # type: ignore[arg-type]
            invariants=[somebody_saw_something],
            options=options,
        )

    assert isinstance(build, Scenario)
    return explore(build.compile()).verdict


@on_write(Shared.x)
def remember(shared: Shared, old: bool, new: bool) -> None:
    """Runs when the store reaches memory."""
    if new:
        shared.history = True


def both(barrier: str) -> list[Thread]:
    """The two sides of store buffering."""
    return [
        Thread(left, Shared(0), barrier, on=Cpu(0)),
        Thread(right, Shared(0), barrier, on=Cpu(1)),
    ]


@ENGINES
def test_store_buffering_is_forbidden_under_sc(explore: Engine) -> None:
    assert checked(explore, both("none"), {"memory": "sc"}) is Verdict.HOLDS


@ENGINES
@DEPTHS
def test_store_buffering_is_allowed_under_tso(explore: Engine, depth: int) -> None:
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, both("none"), options) is Verdict.VIOLATED


@ENGINES
@DEPTHS
@pytest.mark.parametrize("barrier", ["smp_mb", "xchg"])
def test_a_barrier_on_both_sides_forbids_it_again(
    explore: Engine, depth: int, barrier: str
) -> None:
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, both(barrier), options) is Verdict.HOLDS


@path
def publish(shared: Shared) -> None:
    """Message passing, the writer: it also reads its own store."""
    shared.x = True
    shared.y = True
    assert shared.x, "own: a CPU does not see its own store"


@path
def consume(shared: Shared) -> None:
    """Message passing, the reader."""
    if shared.y:
        seen = shared.x
        assert seen, "MP: stores were reordered"


@ENGINES
@DEPTHS
def test_stores_stay_in_order_and_a_cpu_sees_its_own(explore: Engine, depth: int) -> None:
    threads = [
        Thread(publish, Shared(0), on=Cpu(0)),
        Thread(consume, Shared(0), on=Cpu(1)),
    ]
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, threads, options) is Verdict.HOLDS


@path
def counted(shared: Shared) -> None:
    """A critical section with plain stores: they are in memory before the lock is free."""
    with shared.lock:
        old = shared.x
        shared.x = not old
        assert shared.x != old, "lost"
    atomic_inc(shared.count)


@ENGINES
@DEPTHS
def test_a_lock_orders_what_it_protects(explore: Engine, depth: int) -> None:
    threads = [Thread(counted, Shared(0), on=Cpu(c)) for c in range(2)]
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, threads, options) is Verdict.HOLDS


@path
def store_only(shared: Shared) -> None:
    """A store that may stay in the buffer."""
    shared.x = True


@path
def nothing(shared: Shared) -> None:
    """A step on the other CPU."""
    atomic_inc(shared.count)


@atomic
def walks(cpu: Cpu, shared: Shared) -> bool:
    """What a page walker sees."""
    return seen_by(cpu, shared.x)


@rule
def walk(cpu: Cpu, shared: Shared) -> None:
    """A walker sees its own CPU's buffer, and no other."""
    seen = walks(cpu, shared)
    drained = stores_drained(Cpu(0))
    when(not cpu.walked and seen)
    cpu.walked = True
    assert cpu == Cpu(0) or drained, "walker: it saw another CPU's buffer"
    assert drained == shared.history, "observer: it ran before the store reached memory"


@ENGINES
@DEPTHS
def test_walkers_and_observers(explore: Engine, depth: int) -> None:
    threads = [
        Thread(store_only, Shared(0), on=Cpu(0)),
        Thread(nothing, Shared(0), on=Cpu(1)),
    ]
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, threads, options, walk) is Verdict.HOLDS


@atomic(fence=False)
def under_way(shared: Shared) -> bool:
    """Whether CPU1 has stored what memory has not yet."""
    return seen_by(Cpu(1), shared.x) and not shared.x


@path
def watch(shared: Shared) -> None:
    """Looks into the store buffer of the other CPU."""
    found = under_way(shared)
    assert not found, "under way: the store is in the buffer"


@ENGINES
@DEPTHS
@pytest.mark.parametrize("first", ["watcher", "owner"])
def test_a_thread_sees_the_buffer_of_a_cpu_whose_threads_come_later(
    explore: Engine, depth: int, first: str
) -> None:
    threads = [Thread(watch, Shared(0), on=Cpu(0)), Thread(store_only, Shared(0), on=Cpu(1))]
    if first == "owner":
        threads.reverse()
    options = {"memory": "tso", "store_buffer": depth}
    assert checked(explore, threads, options) is Verdict.VIOLATED
    assert checked(explore, threads, {"memory": "sc"}) is Verdict.HOLDS
