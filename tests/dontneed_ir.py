"""The benchmark family ``dontneed(N, P)`` as a hand-built system.

N CPUs run MADV_DONTNEED once over P pages; ``nested=False`` is the historic bug. The rules are
those that SPIN, Rumur, TLC and others were measured with, so the state counts must agree with
:data:`COUNTS`.
"""

from __future__ import annotations

from shootdown.lang.ir import (
    Action,
    Binary,
    Block,
    Body,
    Choice,
    Const,
    Cover,
    Done,
    Expr,
    Guard,
    Load,
    Location,
    Op,
    Place,
    Process,
    Property,
    Reg,
    Select,
    Set,
    StepInfo,
    Store,
    System,
    Variable,
)

COUNTS = {
    (2, 1): (546, None),
    (3, 1): (21_451, 118_011),
    (3, 2): (301_531, None),
    (4, 1): (1_924_508, 16_248_760),
    (3, 3): (8_074_183, 86_559_015),
}

HERE = Location("dontneed_ir.py", 1)


def both(left: Expr, right: Expr) -> Expr:
    return Binary("land", left, right)


def either(left: Expr, right: Expr) -> Expr:
    return Binary("lor", left, right)


def equal(left: Expr, value: int) -> Expr:
    return Binary("eq", left, Const(value))


def differs(left: Expr, value: int) -> Expr:
    return Binary("ne", left, Const(value))


def dontneed(cpus: int, pages: int, *, nested: bool = True) -> System:
    """``pc`` of each CPU: idle, want_lock, zap 0..P-1, unlock, decide, flushing, free, leave,
    returned."""
    unlock, decide, flushing, free, leave, returned = range(pages + 2, pages + 8)
    variables: list[Variable] = []

    def declare(name: str, size: int) -> int:
        variables.append(Variable(name, size))
        return len(variables) - 1

    pte = [declare(f"pte[{p}]", 3) for p in range(pages)]
    freed = Place(declare("freed", 1 << pages))
    lock = Place(declare("lock", cpus + 1))
    pending = Place(declare("pending", cpus + 1))
    tlb = [[declare(f"tlb[{c}][{p}]", 3) for p in range(pages)] for c in range(cpus)]
    pc = [declare(f"pc[{c}]", pages + 8) for c in range(cpus)]
    mask = [Place(declare(f"mask[{c}]", 1 << cpus)) for c in range(cpus)]
    gather = [Place(declare(f"gather[{c}]", 1 << pages)) for c in range(cpus)]
    init = [0] * len(variables)
    for p in pte:
        init[p] = 1

    lines = 0

    def action(name: str, *ops: Op, fair: bool, cpu: int) -> Action:
        return choosing(name, [Block(ops, Done())], fair=fair, cpu=cpu)

    def choosing(name: str, blocks: list[Block], *, fair: bool, cpu: int) -> Action:
        nonlocal lines
        blocks[0] = Block((Cover(lines), *blocks[0].ops), blocks[0].end)
        lines += 1
        info = StepInfo("step" if fair else "rule", name, HERE)
        return Action(name, Body(tuple(blocks), 2), info, fair, cpu)

    def steps(c: int) -> tuple[Action, ...]:
        def go(target: int) -> Store:
            return Store(Place(pc[c]), Const(target))

        def step(name: str, *ops: Op) -> Action:
            return action(name, *ops, fair=True, cpu=c)

        def zap(p: int) -> Action:
            present = differs(Load(Place(pte[p])), 0)
            gathered = Binary("or", Load(gather[c]), Const(1 << p))
            return step(
                f"zap {p}",
                Store(gather[c], Select(present, gathered, Load(gather[c]))),
                Store(Place(pte[p]), Const(0)),
                go(3 + p),
            )

        must_flush = differs(Load(gather[c]), 0)
        if nested:
            must_flush = either(must_flush, Binary("gt", Load(pending), Const(1)))
        rest = Binary("sub", Load(mask[c]), Binary("shl", Const(1), Reg(0)))
        flush = [
            Block((), Choice(0, Load(mask[c]), cpus, 1)),
            Block(
                (
                    *(
                        Store(Place(tlb[0][p], ((Reg(0), pages, cpus),)), Const(0))
                        for p in range(pages)
                    ),
                    Store(mask[c], rest),
                    Store(
                        Place(pc[c]),
                        Select(equal(Load(mask[c]), 0), Const(free), Const(flushing)),
                    ),
                ),
                Done(),
            ),
        ]
        return (
            step("begin", Store(pending, Binary("add", Load(pending), Const(1))), go(1)),
            step("lock", Guard(equal(Load(lock), 0)), Store(lock, Const(1 + c)), go(2)),
            *(zap(p) for p in range(pages)),
            step("unlock", Store(lock, Const(0)), go(decide)),
            step(
                "decide",
                Set(0, must_flush),
                Store(mask[c], Select(Reg(0), Const((1 << cpus) - 1), Const(0))),
                Store(Place(pc[c]), Select(Reg(0), Const(flushing), Const(free))),
            ),
            choosing("flush", flush, fair=True, cpu=c),
            step(
                "free",
                Store(freed, Binary("or", Load(freed), Load(gather[c]))),
                Store(gather[c], Const(0)),
                go(leave),
            ),
            step("leave", Store(pending, Binary("sub", Load(pending), Const(1))), go(returned)),
        )

    assert (unlock, decide) == (pages + 2, pages + 3)

    def hardware(c: int, p: int) -> tuple[Action, ...]:
        entry, table = Place(tlb[c][p]), Place(pte[p])

        def rule(name: str, condition: Expr, *ops: Op) -> Action:
            return action(f"{name} {c} {p}", Guard(condition), *ops, fair=False, cpu=c)

        present = differs(Load(table), 0)
        return (
            rule("fill", both(equal(Load(entry), 0), present), Store(entry, Load(table))),
            rule("evict", differs(Load(entry), 0), Store(entry, Const(0))),
            rule(
                "write",
                both(equal(Load(entry), 1), present),
                Store(entry, Const(2)),
                Store(table, Const(2)),
            ),
        )

    def prop(name: str, condition: Expr) -> Property:
        return Property(name, name, Body((Block((Set(0, condition),), Done()),), 1), HERE)

    cached_freed: Expr = Const(0)
    cached: Expr = Const(0)
    done: Expr = Const(0)
    for c in range(cpus):
        done = either(done, equal(Load(Place(pc[c])), returned))
        for p in range(pages):
            caches = differs(Load(Place(tlb[c][p])), 0)
            gone = differs(Binary("and", Load(freed), Const(1 << p)), 0)
            cached_freed = either(cached_freed, both(caches, gone))
            cached = either(cached, caches)

    processes = tuple(Process(f"CPU{c}", pc[c], steps(c)) for c in range(cpus))
    rules = tuple(r for c in range(cpus) for p in range(pages) for r in hardware(c, p))
    return System(
        name=f"dontneed({cpus},{pages})",
        variables=tuple(variables),
        init=tuple(init),
        processes=processes,
        rules=rules,
        invariants=(
            prop("no CPU caches a freed page", equal(cached_freed, 0)),
            prop("after a return no CPU caches a page", equal(both(done, cached), 0)),
        ),
        goals=(prop("somebody returned", done),),
        failures=(),
        lines=(HERE,) * lines,
        columns=tuple(f"CPU{c}" for c in range(cpus)),
        fingerprint=f"dontneed({cpus},{pages},{nested})",
    )
