"""TLBs, free frames, numbers and lists of the machine under the threads of a priced run.

In the subset of Python that :mod:`shootdown.native.subset` compiles: none of it runs as Python. The
capital names are those of :mod:`.runtime`, which also says how time goes.
"""

# ruff: noqa: F821, PLR1730, PLR5501
# mypy: ignore-errors

from __future__ import annotations

# ------------------------------------------------------------------ TLBs


def tlb_set(ctx: int, cpu: int, page: int) -> int:
    """Where the set of a page begins."""
    index = (page ^ (page >> 9)) & (ctx[TLB_SETS] - 1)
    return ctx[TLB] + (((cpu * ctx[TLB_SETS]) + index) * ctx[TLB_WAYS] * 24)


def tlb_lookup(ctx: int, cpu: int, tag: int, page: int) -> int:
    """What the TLB has for a page under a tag, 0 if nothing."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    entry = tlb_set(ctx, cpu, page)
    end = entry + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    epoch = ctx[EPOCHS][cpu * ctx[TAGS] + tag]
    while entry < end:
        if entry[0] == key and entry[1] == epoch:
            ctx[COUNTS][TLB_HIT] += 1
            return entry[2]
        entry += 24
    ctx[COUNTS][TLB_MISS] += 1
    return 0


def tlb_insert(ctx: int, cpu: int, tag: int, page: int, data: int) -> int:
    """Keep a translation, in the place of an old one of the page, of an invalid one, or in turn."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    first = tlb_set(ctx, cpu, page)
    end = first + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    epoch = ctx[EPOCHS][cpu * ctx[TAGS] + tag]
    entry = first
    place = 0
    while entry < end:
        if entry[0] == key:
            place = entry
        if place == 0:
            old = entry[0] - 1
            if entry[0] == 0:
                place = entry
            else:
                if entry[1] != ctx[EPOCHS][cpu * ctx[TAGS] + (old & 255)]:
                    place = entry
        entry += 24
    if place == 0:
        turn = ctx[TLB_TURN][cpu]
        place = first + turn * 24
        turn += 1
        if turn == ctx[TLB_WAYS]:
            turn = 0
        ctx[TLB_TURN][cpu] = turn
    place[0] = key
    place[1] = epoch
    place[2] = data
    return 0


def tlb_drop_page(ctx: int, cpu: int, tag: int, page: int) -> int:
    """Forget a page of a tag."""
    entry = tlb_set(ctx, cpu, page)
    end = entry + ctx[TLB_WAYS] * 24
    key = (page << 8) + tag + 1
    while entry < end:
        if entry[0] == key:
            entry[0] = 0
        entry += 24
    return 0


def tlb_drop_span(ctx: int, cpu: int, tag: int, span: int) -> int:
    """Forget some pages of a tag."""
    page = span & LOW
    while page < span >> 32:
        tlb_drop_page(ctx, cpu, tag, page)
        page += 1
    return 0


def tlb_drop_tag(ctx: int, cpu: int, tag: int) -> int:
    """Forget all of a tag."""
    if tag >= ctx[TAGS]:
        fail(ctx)
        return 0
    ctx[EPOCHS][cpu * ctx[TAGS] + tag] += 1
    return 0


def tlb_drop_all(ctx: int, cpu: int) -> int:
    """Forget everything."""
    tag = 0
    while tag < ctx[TAGS]:
        ctx[EPOCHS][cpu * ctx[TAGS] + tag] += 1
        tag += 1
    return 0


# ------------------------------------------------------------------ memory, numbers, time


def take_frame(ctx: int) -> int:
    """A free frame: the one that was freed last. An error if there is none."""
    if ctx[FREE_TOP] == 0:
        fail(ctx)
        return 0
    ctx[FREE_TOP] -= 1
    at = ctx[FREE_FIRST] + ctx[FREE_TOP]
    if at >= ctx[FRAMES]:
        at -= ctx[FRAMES]
    return ctx[FREE][at]


def give_frame(ctx: int, frame: int) -> int:
    """A frame is free, and is the next one to be taken."""
    if ctx[FREE_TOP] >= ctx[FRAMES]:
        fail(ctx)
        return 0
    at = ctx[FREE_FIRST] + ctx[FREE_TOP]
    if at >= ctx[FRAMES]:
        at -= ctx[FRAMES]
    ctx[FREE][at] = frame
    ctx[FREE_TOP] += 1
    return 0


def give_frame_last(ctx: int, frame: int) -> int:
    """A frame is free, and is taken after all others that are free now."""
    if ctx[FREE_TOP] >= ctx[FRAMES]:
        fail(ctx)
        return 0
    if ctx[FREE_FIRST] == 0:
        ctx[FREE_FIRST] = ctx[FRAMES]
    ctx[FREE_FIRST] -= 1
    ctx[FREE][ctx[FREE_FIRST]] = frame
    ctx[FREE_TOP] += 1
    return 0


def free_frames(ctx: int) -> int:
    """How many frames are free."""
    return ctx[FREE_TOP]


def random(ctx: int, count: int) -> int:
    """A number below ``count`` (xorshift64*, its upper half)."""
    if count <= 0 or count > MOST:
        fail(ctx)
        return 0
    x = ctx[RNG]
    x = x ^ (x >> 12)
    x = x ^ (x << 25)
    x = x ^ (x >> 27)
    ctx[RNG] = x
    return (((x * 2685821657736338717) >> 32) * count) >> 32


def compute(ctx: int, time: int) -> int:
    """Time passes."""
    if time < 0 or time > LONGEST or ctx[NOW] > LATEST:
        fail(ctx)
        return 0
    ctx[NOW] += time
    return 0


def spend(ctx: int, price: int, times: int) -> int:
    """A price (by its number) passes several times."""
    each = ctx[PRICES][price]
    if times < 0 or times > MOST or (each >> 20 != 0 and times >> 20 != 0) or ctx[NOW] > LATEST:
        fail(ctx)
        return 0
    ctx[NOW] += each * times
    return 0


def clock(ctx: int) -> int:
    """What time it is."""
    return ctx[NOW]


def cell_at(ctx: int, cell: int) -> int:
    """The address of a list's last cell. An error if the thread has made so many since then that
    the cell is another's."""
    serial = cell & CELL_SERIAL
    if ctx[CELL_AT][ctx[THREAD]] - serial > CELL_MASK:
        fail(ctx)
    return ctx[CELLS] + (((ctx[THREAD] * CELL_RING) + (serial & CELL_MASK)) << 4)


def occupy(ctx: int, unit: int, time: int) -> int:
    """Wait for a unit of the machine that serves one CPU after the other, and be served. How long
    it was waited for."""
    waited = ctx[BUSY][unit] - ctx[NOW]
    if waited < 0:
        waited = 0
    ctx[NOW] += waited + time
    ctx[BUSY][unit] = ctx[NOW]
    return waited


def set_flag(ctx: int, cpu: int, on: int) -> int:
    """A CPU's flag for the machine's books: what it was."""
    old = ctx[FLAGS][cpu]
    ctx[FLAGS][cpu] = on
    return old


def push(ctx: int, rest: int, element: int) -> int:
    """A list with one element more. A list is the serial number of its last cell, and how many
    there are in its highest bits."""
    if rest >> CELL_COUNT >= CELL_MASK:
        fail(ctx)
        return rest
    serial = ctx[CELL_AT][ctx[THREAD]] + 1
    ctx[CELL_AT][ctx[THREAD]] = serial
    cells = ctx[CELLS] + (((ctx[THREAD] * CELL_RING) + (serial & CELL_MASK)) << 4)
    cells[0] = element
    cells[1] = rest
    return (((rest >> CELL_COUNT) + 1) << CELL_COUNT) + serial


def list_top(ctx: int, cell: int) -> int:
    """The element that was added last."""
    return cell_at(ctx, cell)[0]


def list_rest(ctx: int, cell: int) -> int:
    """The list without it."""
    return cell_at(ctx, cell)[1]


def list_has(ctx: int, cell: int, element: int) -> int:
    """Whether an element is in a list."""
    while cell != 0:
        if cell_at(ctx, cell)[0] == element:
            return 1
        cell = cell_at(ctx, cell)[1]
    return 0
