"""The parts of the pricing engine's machine against plain Python."""

from __future__ import annotations

import itertools
from collections import deque
from random import Random

import pytest

from cost.bare import Bare
from shootdown.cost import runtime

NEVER = runtime.TIMES["NEVER"]

# ------------------------------------------------------------------ time


def test_the_earliest_thread_is_next_among_thousands() -> None:
    rng = Random(1)
    machine = Bare(threads=5000)
    times = [NEVER] * 5000
    for round_ in range(20_000):
        thread = rng.randrange(5000)
        times[thread] = rng.choice((NEVER, rng.randrange(50), rng.randrange(10**9)))
        machine("set_ready", thread, times[thread])
        if round_ % 50 == 0:
            assert times[machine.arrays["TREE"][1]] == min(times)
    assert list(machine.arrays["READY"][:5000]) == times


def test_of_equal_times_the_lowest_number_is_first() -> None:
    machine = Bare(threads=300)
    for thread in reversed(range(37, 300)):
        machine("set_ready", thread, 5)
    assert machine.arrays["TREE"][1] == 37


def test_who_becomes_ready_earlier_moves_the_horizon() -> None:
    machine = Bare()
    machine.put("HORIZON", 100)
    machine("set_ready", 2, 150)
    assert machine.get("HORIZON") == 100
    machine("set_ready", 2, 60)
    assert machine.get("HORIZON") == 60


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("compute", (-1,)), ("compute", ((1 << 60) + 1,)), ("spend", (0, -1)),
        ("spend", (0, (1 << 31) + 1)), ("random", (0,)), ("random", (-3,)),
        ("random", ((1 << 31) + 1,)),
    ],
)  # fmt: skip
def test_time_and_chance_refuse_nonsense(name: str, arguments: tuple[int, ...]) -> None:
    machine = Bare()
    machine(name, *arguments)
    assert machine.get("ERROR") == 7
    assert machine.get("NOW") == 0
    assert machine.get("HORIZON") < 0


def test_long_times_are_exact() -> None:
    machine = Bare(prices={"mem_load": 10**12})
    machine("spend", 0, 1_000_003)
    machine("compute", (1 << 59) + 1)
    assert machine.get("NOW") == 10**12 * 1_000_003 + (1 << 59) + 1
    assert machine.get("ERROR") == 0


# ------------------------------------------------------------------ chance


def test_random_numbers_are_those_of_xorshift() -> None:
    machine = Bare()
    x = machine.get("RNG")
    mask = (1 << 64) - 1
    for below in (1, 2, 7, 1000, 1 << 31):
        for _ in range(200):
            x ^= x >> 12
            x = (x ^ x << 25) & mask
            x ^= x >> 27
            expected = ((x * 2685821657736338717 & mask) >> 32) * below >> 32
            assert machine("random", below) == expected
            assert 0 <= expected < below


# ------------------------------------------------------------------ TLB


class Tlb:
    """Sets of ways, replaced in turn (one counter for each CPU). What was flushed with its whole
    tag keeps its place, for the same page."""

    def __init__(self, sets: int, ways: int) -> None:
        self.sets: list[list[tuple[int, int] | None]] = [[None] * ways for _ in range(sets)]
        self.data: dict[tuple[int, int], int] = {}
        self.ways, self.turn = ways, 0

    def of(self, page: int) -> list[tuple[int, int] | None]:
        return self.sets[(page ^ page >> 9) % len(self.sets)]

    def insert(self, tag: int, page: int, data: int) -> None:
        ways = self.of(page)
        free = [i for i, e in enumerate(ways) if e is None or e not in self.data]
        if (tag, page) in ways:
            place = ways.index((tag, page))
        elif free:
            place = free[0]
        else:
            place, self.turn = self.turn, (self.turn + 1) % self.ways
        if (old := ways[place]) is not None:
            self.data.pop(old, None)
        ways[place] = (tag, page)
        self.data[tag, page] = data

    def drop(self, tag: int, pages: range) -> None:
        for page in pages:
            self.data.pop((tag, page), None)
            ways = self.of(page)
            ways[:] = [None if e == (tag, page) else e for e in ways]

    def flush(self, tag: int | None = None) -> None:
        self.data = {e: d for e, d in self.data.items() if tag not in (None, e[0])}


@pytest.mark.parametrize(("sets", "ways"), [(1, 1), (4, 3), (64, 2), (2, 12)])
def test_the_tlb_is_that_of_the_model(sets: int, ways: int) -> None:
    rng = Random(sets * 100 + ways)
    machine = Bare(cpus=2, sets=sets, ways=ways)
    models = [Tlb(sets, ways) for _ in range(2)]
    pages = sorted({rng.randrange(1 << 28) for _ in range(12)} | set(range(20)))
    hits = 0
    for _ in range(6000):
        cpu, tag, page = rng.randrange(2), rng.choice((0, 1, 5, 63)), rng.choice(pages)
        model = models[cpu]
        match rng.choice("lllliiiipsta"):
            case "l":
                found = machine("tlb_lookup", cpu, tag, page)
                assert found == model.data.get((tag, page), 0)
                hits += found != 0
            case "i":
                data = rng.randrange(1, 1 << 62)
                machine("tlb_insert", cpu, tag, page, data)
                model.insert(tag, page, data)
            case "p":
                machine("tlb_drop_page", cpu, tag, page)
                model.drop(tag, range(page, page + 1))
            case "s":
                end = page + rng.randrange(1, 9)
                machine("tlb_drop_span", cpu, tag, end << 32 | page)
                model.drop(tag, range(page, end))
            case "t" if rng.random() < 0.3:
                machine("tlb_drop_tag", cpu, tag)
                model.flush(tag)
            case "a" if rng.random() < 0.3:
                machine("tlb_drop_all", cpu)
                model.flush()
    assert hits > 10
    assert machine.count("tlb_hit") == hits


def test_a_tag_that_the_tlb_does_not_have_is_an_error() -> None:
    for name, arguments in (("tlb_lookup", (0, 64, 1)), ("tlb_insert", (0, 64, 1, 5)),
                            ("tlb_drop_tag", (0, 64))):  # fmt: skip
        machine = Bare()
        machine(name, *arguments)
        assert machine.get("ERROR") == 7


# ------------------------------------------------------------------ cache lines


def test_lines_move_between_cpus() -> None:
    rng = Random(3)
    prices = {"line_transfer": 50, "line_transfer_remote": 130}
    machine = Bare(threads=6, cpus=6, socket=2, prices=prices)
    owner: dict[int, int] = {}
    shared: set[int] = set()
    time = transfers = 0
    for _ in range(3000):
        cpu, line = rng.randrange(6), rng.randrange(5)
        machine.on(cpu)
        write = rng.random() < 0.4
        machine("line_write" if write else "line_read", line)
        last = owner.get(line)
        moved = last is not None and (write or line not in shared) and last != cpu
        if write and line in shared:  # others have it
            moved = True
        if moved:
            assert last is not None
            time += 130 if last // 2 != cpu // 2 else 50
            transfers += 1
        if write:
            owner[line] = cpu
            shared.discard(line)
        elif moved:
            shared.add(line)
        assert machine.get("NOW") == time
    assert machine.count("line_transfers") == transfers


# ------------------------------------------------------------------ locks


class Lock:
    """A semaphore, or a spinlock of which only the write side is used: first come, first served."""

    def __init__(self) -> None:
        self.readers: set[int] = set()
        self.writer: int | None = None
        self.queue: deque[tuple[int, bool]] = deque()

    def take(self, thread: int, write: bool) -> bool:
        if not self.queue and self.writer is None and not (write and self.readers):
            self._give(thread, write)
            return True
        self.queue.append((thread, write))
        return False

    def _give(self, thread: int, write: bool) -> None:
        if write:
            self.writer = thread
        else:
            self.readers.add(thread)

    def release(self, thread: int) -> list[int]:
        if self.writer == thread:
            self.writer = None
        self.readers.discard(thread)
        woken = []
        while self.queue and self.writer is None and not (self.queue[0][1] and self.readers):
            thread, write = self.queue.popleft()
            self._give(thread, write)
            woken.append(thread)
        return woken


@pytest.mark.parametrize("spin", [True, False])
def test_locks_go_to_who_came_first(spin: bool) -> None:
    rng = Random(4 + spin)
    machine = Bare(threads=9, cpus=9, prices={"lock_handover": 33})
    lock = Lock()
    held: dict[int, bool] = {}
    waiting: set[int] = set()
    for _ in range(4000):
        thread = rng.choice([t for t in range(9) if t not in waiting])
        machine.on(thread)
        now = machine.get("NOW")
        if thread not in held:
            write = spin or rng.random() < 0.3
            name = "spin_lock" if spin else "down_write" if write else "down_read"
            got = machine(name, 3, 2, 1)
            if lock.take(thread, write):
                assert got == 0
                held[thread] = write
            else:
                assert got == -1
                assert machine.get("BLOCKED") == 1
                waiting.add(thread)
            continue
        write = held.pop(thread)
        machine("spin_unlock" if spin else "up_write" if write else "up_read", 3, 2, 1)
        now = machine.get("NOW")
        woken = lock.release(thread)
        for other in woken:
            assert machine.arrays["READY"][other] == now + 33
            waiting.discard(other)
            machine.on(other)
            write = other == lock.writer
            name = "spin_lock" if spin else "down_write" if write else "down_read"
            assert machine(name, 3, 2, 1) == 0
            held[other] = write
        assert all(machine.arrays["READY"][t] == NEVER for t in waiting)
        for t in woken:
            machine("set_ready", t, NEVER)


def test_trylock_does_not_wait() -> None:
    machine = Bare()
    machine.on(0)
    assert machine("spin_trylock", 3, 2, 1) == 1
    machine.on(1)
    assert machine("spin_trylock", 3, 2, 1) == 0
    assert machine.get("BLOCKED") == 0
    machine.on(0)
    machine("spin_unlock", 3, 2, 1)
    machine.on(1)
    assert machine("spin_trylock", 3, 2, 1) == 1


# ------------------------------------------------------------------ waiting for memory


def test_a_write_wakes_all_that_wait_for_the_word() -> None:
    machine = Bare(threads=6)
    for thread in (0, 3, 4):
        machine.on(thread)
        machine("wait_for", 5)
        assert machine.get("BLOCKED") == 1
    machine.on(1)
    machine("wait_for", 6)
    machine.put("NOW", 77)
    machine("written", 5)
    assert [machine.arrays["READY"][t] for t in range(5)] == [77, NEVER, NEVER, 77, 77]
    machine("set_ready", 3, NEVER)
    machine("written", 5)
    assert machine.arrays["READY"][3] == NEVER


# ------------------------------------------------------------------ interrupts

SEND = {"ipi_send": 20, "ipi_send_more": 5, "ipi_deliver": 100, "ipi_deliver_remote": 300,
        "interrupt_entry": 40, "interrupt_return": 30}  # fmt: skip


def interrupted(cpus: int = 4) -> Bare:
    """Threads 0.. are the main ones of the CPUs, those after them the handlers."""
    machine = Bare(threads=2 * cpus, cpus=cpus, socket=2, prices=SEND)
    for cpu in range(cpus):
        machine.arrays["MAIN"][cpu] = cpu + 1
        machine.arrays["HANDLER"][cpu] = cpus + cpu + 1
    return machine


def handle(machine: Bare, cpu: int, time: int | None = None) -> int:
    """The handler of a CPU runs, when it is ready or at a time."""
    handler = machine.cpus + cpu
    now = machine.arrays["READY"][handler] if time is None else time
    assert now < NEVER
    machine("set_ready", handler, NEVER)
    machine.on(handler)
    machine.put("CPU", cpu)
    machine.put("NOW", now)
    return machine("take_ipi", cpu)


def test_sending_takes_time_and_distance() -> None:
    machine = interrupted()
    machine.put("NOW", 1000)
    machine.send(0, {1, 2, 3})
    ready = machine.arrays["READY"]
    assert [ready[4 + c] for c in range(4)] == [NEVER, 1120, 1325, 1330]
    assert machine.get("NOW") == 1030
    assert machine.count("csd_queue_cpu") == machine.count("ipi_send_cpu") == 3


def test_a_queue_that_is_not_empty_is_not_interrupted_again() -> None:
    machine = interrupted()
    machine.send(0, {1})
    machine.send(2, {1})
    machine.send(3, {1})
    assert machine.count("csd_queue_cpu") == 3
    assert machine.count("ipi_send_cpu") == 1
    assert machine.get("NOW") == 20
    assert [handle(machine, 1), machine("take_ipi", 1), machine("take_ipi", 1)] == [0, 2, 3]
    assert machine.count("interrupts") == 1
    assert machine("take_ipi", 1) == -1


def test_an_interrupted_thread_goes_on_with_what_it_had_left() -> None:
    machine = interrupted()
    machine("set_ready", 1, 1000)  # computes until then
    machine.send(0, {1})
    assert handle(machine, 1) == 0  # at 120
    assert machine.get("NOW") == 160
    assert machine.arrays["READY"][1] == NEVER
    machine("compute", 500)
    assert machine("take_ipi", 1) == -1
    assert machine.get("NOW") == 690
    assert machine.arrays["READY"][1] == 690 + (1000 - 120)
    assert machine.arrays["IRQ_TIME"][1] == 690 - 120


def test_a_thread_that_waits_still_waits_after_the_interrupt() -> None:
    machine = interrupted()
    machine.on(1)
    machine("wait_for", 5)
    machine.send(0, {1})
    handle(machine, 1)
    machine("take_ipi", 1)
    assert machine.arrays["READY"][1] == NEVER
    machine("written", 5)
    assert machine.arrays["READY"][1] == machine.get("NOW")


def test_what_comes_during_an_interrupt_wakes_after_it() -> None:
    machine = interrupted()
    machine.on(1)
    machine("wait_for", 5)
    machine.send(0, {1})
    handle(machine, 1)
    machine("written", 5)
    assert machine.arrays["READY"][1] == NEVER
    machine("take_ipi", 1)
    assert machine.arrays["READY"][1] == machine.get("NOW")


def test_a_masked_interrupt_is_taken_when_it_is_there_and_allowed() -> None:
    for on_at, taken_at in ((50, 120), (700, 700)):
        machine = interrupted()
        machine("irqs_off", 1)
        machine.send(0, {1})
        assert machine.arrays["READY"][5] == NEVER
        machine.put("NOW", on_at)
        machine("irqs_on", 1)
        assert machine.arrays["READY"][5] == taken_at


def test_an_interrupt_that_is_on_its_way_waits_while_interrupts_are_off() -> None:
    machine = interrupted()
    machine.send(0, {1})
    machine("irqs_off", 1)
    assert handle(machine, 1) == -1
    assert machine.count("interrupts") == 0
    machine("irqs_on", 1)
    assert handle(machine, 1) == 0


def test_no_interrupt_begins_before_the_last_has_returned() -> None:
    machine = interrupted()
    machine.send(0, {1})
    handle(machine, 1)
    machine("take_ipi", 1)
    end = machine.get("NOW")
    machine.put("NOW", end - 29)  # another CPU sends while this one returns
    machine.arrays["PRICES"][runtime.PRICES.index("ipi_deliver")] = 1
    machine.arrays["PRICES"][runtime.PRICES.index("ipi_send")] = 1
    machine.send(0, {1})
    assert machine.arrays["READY"][5] == end


def test_a_send_from_a_handler_is_one_like_any_other() -> None:
    machine = interrupted()
    machine.send(0, {1})
    handle(machine, 1)
    machine.send(1, {0, 2})
    assert handle(machine, 0) == 1
    assert handle(machine, 2) == 1


def test_a_full_queue_is_an_error_and_loses_nothing() -> None:
    machine = interrupted()
    machine("irqs_off", 1)
    for _ in range(4):
        machine.send(0, {1})
    assert machine.get("ERROR") == 0
    machine.send(2, {1})
    assert machine.get("ERROR") == 7


def test_sets_of_several_words() -> None:
    machine = interrupted(130)
    targets = {1, 63, 64, 65, 127, 128, 129}
    machine.send(0, targets)
    assert {c for c in range(130) if machine.arrays["QUEUED"][c]} == targets


# ------------------------------------------------------------------ frames and lists


def test_frames_come_back_last_first() -> None:
    rng = Random(5)
    machine = Bare(frames=7)
    free = list(range(6, -1, -1))
    out: list[int] = []
    for _ in range(500):
        if free and (not out or rng.random() < 0.5):
            assert machine("take_frame") == free[-1]
            out.append(free.pop())
        else:
            out.remove(frame := rng.choice(out))
            machine("give_frame", frame)
            free.append(frame)
        assert machine("free_frames") == len(free)


def test_frames_that_are_not_there_are_errors() -> None:
    machine = Bare(frames=2)
    machine("give_frame", 0)
    assert machine.get("ERROR") == 7
    machine = Bare(frames=2)
    for _ in range(3):
        assert machine.get("ERROR") == 0
        machine("take_frame")
    assert machine.get("ERROR") == 7


def items(machine: Bare, cell: int) -> list[int]:
    found = []
    while cell:
        found.append(machine("list_top", cell))
        cell = machine("list_rest", cell)
    return found


def test_lists_branch_and_belong_to_their_thread() -> None:
    rng = Random(6)
    machine = Bare(threads=3)
    lists: list[tuple[int, int, list[int]]] = [(t, 0, []) for t in range(3)]
    for _ in range(600):
        thread, cell, expected = rng.choice(lists)
        machine.on(thread)
        value = rng.randrange(1 << 40)
        grown = machine("push", cell, value)
        lists.append((thread, grown, [value, *expected]))
        assert grown >> runtime.TIMES["CELL_COUNT"] == len(expected) + 1
    for thread, cell, expected in rng.sample(lists, 60):
        machine.on(thread)
        assert items(machine, cell) == expected
    assert machine.get("ERROR") == 0


def test_a_list_that_was_overwritten_is_an_error_and_no_wrong_data() -> None:
    machine = Bare(threads=2)
    machine.on(1)
    old = machine("push", machine("push", 0, 11), 22)
    for _ in range(runtime.TIMES["CELL_RING"] - 2):
        machine("push", 0, 5)
    assert items(machine, old) == [22, 11]
    machine("push", 0, 5)
    assert machine.get("ERROR") == 0
    assert machine("list_top", old) == 22
    rest = machine("list_rest", old)
    machine("list_top", rest)
    assert machine.get("ERROR") == 7


def test_the_longest_list() -> None:
    machine = Bare(threads=1)
    machine.on(0)
    cell = 0
    for i in itertools.count():
        grown = machine("push", cell, i)
        if machine.get("ERROR"):
            break
        cell = grown
    assert i == 32_767
    machine.put("ERROR", 0)
    assert items(machine, cell) == list(range(32_766, -1, -1))
    assert machine.get("ERROR") == 0
