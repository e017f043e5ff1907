"""One kind of thread as a coroutine in LLVM IR.

A graph of :mod:`shootdown.lang.large` becomes one function. Blocks stay blocks; registers become
stack slots, which LLVM turns into what it likes. At the beginning of a step the thread looks
whether it is later than another (``HORIZON``) and yields then. A step is done at one time; its
price is added after it. A step that must wait (a lock, a guard) is tried again from its beginning
when the thread is woken; how long that took is added to the stalls of its kind.

Prices: an access costs ``mem_load``, ``mem_store`` or ``atomic`` by the kind of its step; accesses
to lines that several CPUs use may cost a transfer (``runtime.py``). Everything else costs what the
machine's functions ``spend()``.
"""

from __future__ import annotations

from shootdown.cost import runtime
from shootdown.cost.fallible import FALLIBLE
from shootdown.cost.layout import LOCKS, Layout
from shootdown.cost.sections import Section, located, sections
from shootdown.cost.values import Values
from shootdown.cost.writer import WORDS
from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.builder import counted
from shootdown.lang.cfg import Graph, MBlock, MBranch, MChoice, MJump, Register, Step
from shootdown.lang.large import Enter, Extern, Leave, Parameter

LOADS = {"load", "READ_ONCE", "smp_load_acquire", "wait"}
STORES = {"store", "WRITE_ONCE", "smp_store_release"}
ARITIES = {f.__name__: f.__code__.co_argcount - 1 for f in runtime.OPERATIONS}
ENDLESS = 1 << 24
"""Rounds of loops within one step, after which Ctrl-C is looked for."""
FREE_STEPS = {"extern", "event"}  # what they cost is said elsewhere


def guarded_regions(graph: Graph, layout: Layout) -> None:
    """Note which regions a graph waits for, before any graph is emitted: who writes one of them
    must wake."""
    for section in {id(s): s for s in sections(graph).values()}.values():
        if len(section.places) == 1:
            layout.wait(layout.space.region_at(section.places[0].base))
        elif section.places:
            layout.group(section.places)


class Emitter(Values):
    """Writes one coroutine."""

    def __init__(
        self,
        name: str,
        graph: Graph,
        parameters: list[Parameter],
        layout: Layout,
        at: ir.Location,
    ) -> None:
        super().__init__(graph, layout)
        self.name = name
        self.at = at
        self.parameters = parameters
        self.numbers = {id(block): i for i, block in enumerate(graph.blocks)}
        self.sections = sections(graph)
        self.section: Section | None = None

    def text(self) -> str:
        """The whole function."""
        for block in self.graph.blocks:
            self.block(block)
        body = self.lines
        self.lines = []
        for reg in sorted(self.slots):
            width = self.bits(self.graph.registers[reg].kind)
            self.do(f"%r{reg} = alloca i{width}")
            self.do(f"store i{width} 0, ptr %r{reg}")
        self.do("%since = alloca i64")
        self.do("%rounds = alloca i64")
        self.do("store i64 0, ptr %rounds")
        self.do("%tried = alloca i1")
        self.do("store i1 false, ptr %tried")
        self.do("%scratch = alloca [64 x i64]")
        self.do("store i64 -1, ptr %since")
        for number, parameter in enumerate(self.parameters):
            if parameter.reg in self.slots:
                at = self.new(f"getelementptr i64, ptr %args, i64 {number}")
                value = self.new(f"load i64, ptr {at}")
                self.do(f"store i64 {value}, ptr %r{parameter.reg}")
        head = [
            f"define ptr @{self.name}(ptr %memory, ptr %ctx, ptr %args) presplitcoroutine {{",
            "entry:",
            "  %size = call i64 @llvm.coro.size.i64()",
            "  %asked = icmp eq ptr %memory, null",
            "  br i1 %asked, label %tell, label %make",
            "tell:",
            "  %told = inttoptr i64 %size to ptr",
            "  ret ptr %told",
            "make:",
            "  %id = call token @llvm.coro.id(i32 0, ptr null, ptr null, ptr null)",
            "  %handle = call ptr @llvm.coro.begin(token %id, ptr %memory)",
            "  %ctxi = ptrtoint ptr %ctx to i64",
            f"  %statep = getelementptr i64, ptr %ctx, i64 {WORDS['STATE']}",
            "  %statei = load i64, ptr %statep",
            "  %state = inttoptr i64 %statei to ptr",
        ]
        begin = [
            "  %first = call i8 @llvm.coro.suspend(token none, i1 false)",
            "  switch i8 %first, label %suspended [i8 0, label %b0 i8 1, label %cleanup]",
        ]
        tail = [
            "finished:",
            *self._set_word("BLOCKED", "2"),
            "  %last = call i8 @llvm.coro.suspend(token none, i1 true)",
            "  switch i8 %last, label %suspended [i8 0, label %bad i8 1, label %cleanup]",
            "failed:",
            *self._set_word("BLOCKED", "1"),
            "  %wrong = call i8 @llvm.coro.suspend(token none, i1 false)",
            "  switch i8 %wrong, label %suspended [i8 0, label %bad i8 1, label %cleanup]",
            "bad:",
            "  unreachable",
            "cleanup:",
            "  br label %suspended",
            "suspended:",
            "  call void @llvm.coro.end(ptr %handle, i1 false, token none)",
            "  ret ptr %handle",
            "}",
            "",
        ]
        return "\n".join([*head, *self.lines, *begin, *body, *tail])

    def pay(self, name: str) -> None:
        """Let the price of something pass."""
        price = self.price_of(name)
        self.put("NOW", self.new(f"add i64 {self.get('NOW')}, {price}"))

    # ------------------------------------------------------------------ blocks

    def block(self, block: MBlock) -> None:
        """One block, with what comes before a step."""
        self.lines.append(f"b{self.numbers[id(block)]}:")
        self.section = self.sections.get(id(block))
        if block.step is not None:
            self.begin_step(block)
        elif block.loop is not None:
            self.count_round()
        for op in block.ops:
            self.operation(op)
        match block.end:
            case MJump(target):
                self.do(f"br label %{self.target(target)}")
            case MBranch(condition, then, orelse):
                test = self.truth(condition)
                self.do(f"br i1 {test}, label %{self.target(then)}, label %{self.target(orelse)}")
            case MChoice(reg, mask, width, target):
                self.choice(reg, mask, width)
                self.do(f"br label %{self.target(target)}")
            case None:
                self.do("br label %finished")

    def count_round(self) -> None:
        """A round of a loop. One that goes round without a step must not keep the event loop, and
        Ctrl-C, out; no other one ever has so many rounds in a step, so it runs as if this were not
        here."""
        rounds = self.new(f"add i64 {self.new('load i64, ptr %rounds')}, 1")
        self.do(f"store i64 {rounds}, ptr %rounds")
        over = self.new(f"icmp ugt i64 {rounds}, {ENDLESS}")
        pause, on = self.label("pause"), self.label("round")
        self.do(f"br i1 {over}, label %{pause}, label %{on}")
        self.lines.append(f"{pause}:")
        self.do("store i64 0, ptr %rounds")
        self.put("STEPS", self.get("BUDGET"))
        self.suspend()
        self.do(f"br label %{on}")
        self.lines.append(f"{on}:")

    def target(self, block: MBlock) -> str:
        """The label of a block."""
        return f"b{self.numbers[id(block)]}"

    @property
    def step(self) -> Step | None:
        """The step that the present block belongs to."""
        return None if self.section is None else self.section.block.step

    @property
    def place(self) -> ir.Location:
        """The line of the present step; before the first one, that of the thread's function."""
        return self.at if self.step is None else self.step.location

    def retry(self, block: MBlock) -> str:
        """Where a step is tried again."""
        return f"turn.b{self.numbers[id(block)]}"

    def begin_step(self, block: MBlock) -> None:
        """Yield if another thread is earlier; then pay for the step, once."""
        step, section = block.step, self.section
        assert step is not None
        assert section is not None
        late, turn = self.label("late"), self.retry(block)
        if section.guarded:
            self.do("store i1 false, ptr %tried")
        self.do("store i64 0, ptr %rounds")
        test = self.new(f"icmp sgt i64 {self.get('NOW')}, {self.get('HORIZON')}")
        self.do(f"br i1 {test}, label %{late}, label %{turn}")
        self.lines.append(f"{late}:")
        self.suspend()
        self.do(f"br label %{turn}")
        self.lines.append(f"{turn}:")
        self.put("STEPS", self.new(f"add i64 {self.get('STEPS')}, 1"))
        if step.kind in FREE_STEPS or section.late_price:
            return  # the latter pay when they succeed
        if not section.guarded:
            self.pay(_price_of(step.kind))
            return
        pay, paid = self.label("pay"), self.label("paid")
        self.do(f"br i1 {self.fresh()}, label %{pay}, label %{paid}")
        self.lines.append(f"{pay}:")
        self.pay(_price_of(step.kind))
        self.do(f"br label %{paid}")
        self.lines.append(f"{paid}:")

    def fresh(self) -> str:
        """Whether the step is tried for the first time."""
        return self.new(f"xor i1 {self.new('load i1, ptr %tried')}, true")

    def require(self, test: str, message: str, at: ir.Location | None = None) -> None:
        """Stop everything where a condition does not hold."""
        at = self.place if at is None else at
        good, bad = self.label("good"), self.label("fails")
        self.do(f"br i1 {test}, label %{good}, label %{bad}")
        self.lines.append(f"{bad}:")
        self.put("ERROR", str(self.layout.failure(message, at)))
        self.do("br label %failed")
        self.lines.append(f"{good}:")

    def choice(self, reg: int, mask: ir.Expr, width: int) -> None:
        """One of the bits of a mask, by chance."""
        value, bits = self.value(mask)
        wide = f"i{bits}"
        self.layout.widths.add(bits)
        some = self.new(f"icmp ne {wide} {value}, 0")
        self.require(some, "choose() has nothing to choose from")
        total = self.narrow(self.new(f"call {wide} @llvm.ctpop.{wide}({wide} {value})"), bits)
        skip = self.call("random", total)
        head, again, after = self.label("pick"), self.label("next"), self.label("picked")
        before = self.label("before")
        self.do(f"br label %{before}")
        self.lines.append(f"{before}:")
        self.do(f"br label %{head}")
        self.lines.append(f"{head}:")
        self.serial += 2
        rest, left = f"%p{self.serial}", f"%q{self.serial}"
        self.lines.append(f"  {rest} = phi {wide} [{value}, %{before}], [{rest}.n, %{again}]")
        self.lines.append(f"  {left} = phi i64 [{skip}, %{before}], [{left}.n, %{again}]")
        stop = self.new(f"icmp eq i64 {left}, 0")
        self.do(f"br i1 {stop}, label %{after}, label %{again}")
        self.lines.append(f"{again}:")
        less = self.new(f"sub {wide} {rest}, 1")
        self.do(f"{rest}.n = and {wide} {rest}, {less}")
        self.do(f"{left}.n = sub i64 {left}, 1")
        self.do(f"br label %{head}")
        self.lines.append(f"{after}:")
        chosen = self.new(f"call {wide} @llvm.cttz.{wide}({wide} {rest}, i1 false)")
        self.set_register(reg, self.narrow(chosen, bits), 64)

    # ------------------------------------------------------------------ operations

    def operation(self, op: object) -> None:
        """One operation of a block."""
        match op:
            case ir.Set(reg, value):
                self.set_register(reg, *self.value(value))
            case ir.Store(place, value):
                self.store(place, value)
            case ir.Guard(condition):
                self.guard(condition)
            case ir.Check(condition, failure):
                declared = self.layout.declared[failure]
                self.require(self.truth(condition), declared.message, declared.location)
            case Extern():
                self.extern(op)
            case Enter(function, reg):
                self.enter(function, reg)
            case Leave(function, reg):
                self.slots.add(reg)
                since = self.new(f"load i64, ptr %r{reg}")
                self.add_to("TIMES", function, self.new(f"sub i64 {self.get('NOW')}, {since}"))

    def enter(self, function: int, reg: int) -> None:
        """A call begins; only once, if its step is tried again."""
        if self.section is None or not self.section.guarded:
            self.add_to("CALLS", function, "1")
            self.set_register(reg, self.get("NOW"), 64)
            return
        self.slots.add(reg)
        fresh = self.fresh()
        self.add_to("CALLS", function, self.new(f"zext i1 {fresh} to i64"))
        begun = self.new(f"load i64, ptr %r{reg}")
        self.set_register(
            reg, self.new(f"select i1 {fresh}, i64 {self.get('NOW')}, i64 {begun}"), 64
        )

    def set_register(self, reg: int, value: str, bits: int) -> None:
        """Write a register."""
        self.slots.add(reg)
        width = self.bits(self.graph.registers[reg].kind)
        self.do(f"store i{width} {self.resized(value, bits, width)}, ptr %r{reg}")

    def store(self, place: ir.Place, value: ir.Expr) -> None:
        """Write memory, and wake who waits for it."""
        region = self.layout.space.region_at(place.base)
        number, bits = self.value(value)
        element = self.element(place, region)
        line = self.layout.line(region)
        if line is not None:
            self.call("line_write", self.new(f"add i64 {element}, {line}"))
        width = region.width * 64
        self.do(f"store i{width} {self.resized(number, bits, width)}, "
                f"ptr {self.address(place)}, align 8")  # fmt: skip
        waited = self.layout.waited.get(region.storage.base)
        if waited is not None:
            self.call("written", self.new(f"add i64 {element}, {waited}"))
        for regions, entry in self.layout.groups.items():
            if region.storage.base in regions:
                self.call("written", str(entry))

    def guard(self, condition: ir.Expr) -> None:
        """Go on where the condition holds; else wait until what it reads is written."""
        test = self.truth(condition)
        held, wait = self.label("held"), self.label("wait")
        self.do(f"br i1 {test}, label %{held}, label %{wait}")
        self.lines.append(f"{wait}:")
        section = self.section
        assert section is not None
        if not section.places:
            raise located("a condition without shared state can never become true",
                          section.block.step.location if section.block.step else None)  # fmt: skip
        if len(section.places) == 1:
            place = section.places[0]
            region = self.layout.space.region_at(place.base)
            element = self.element(place, region)
            entry = self.new(f"add i64 {element}, {self.layout.wait(region)}")
        else:
            entry = str(self.layout.group(section.places))
        self.call("wait_for", entry)
        self.stalled()
        self.do(f"br label %{self.retry(section.block)}")
        self.lines.append(f"{held}:")
        self.going_on()

    def stalled(self) -> None:
        """Remember since when the step waits, and stop."""
        since = self.new("load i64, ptr %since")
        fresh = self.new(f"icmp slt i64 {since}, 0")
        start = self.new(f"select i1 {fresh}, i64 {self.get('NOW')}, i64 {since}")
        self.do(f"store i64 {start}, ptr %since")
        self.do("store i1 true, ptr %tried")
        self.suspend()

    def going_on(self, idle: tuple[int, ...] | None = None) -> None:
        """A step that may have waited is done: count the time, and pay. Where waiting is being
        ``idle``, the calls around it (their registers) begin that much later."""
        assert self.step is not None
        assert self.section is not None
        since = self.new("load i64, ptr %since")
        waited = self.new(f"icmp sge i64 {since}, 0")
        yes, after = self.label("waited"), self.label("paid")
        self.do(f"br i1 {waited}, label %{yes}, label %{after}")
        self.lines.append(f"{yes}:")
        passed = self.new(f"sub i64 {self.get('NOW')}, {since}")
        if idle is None:
            self.add_to("STALLS", self.layout.stall(_stall_of(self.step)), passed)
        for reg in idle or ():
            self.slots.add(reg)
            begun = self.new(f"load i64, ptr %r{reg}")
            self.do(f"store i64 {self.new(f'add i64 {begun}, {passed}')}, ptr %r{reg}")
        self.do("store i64 -1, ptr %since")
        self.do(f"br label %{after}")
        self.lines.append(f"{after}:")
        if self.step.kind not in FREE_STEPS and self.section.late_price:
            self.pay(_price_of(self.step.kind))

    def extern(self, op: Extern) -> None:
        """An operation of the engine."""
        if op.place is not None:
            result = self.lock_operation(op)
        elif op.name == "count":
            self.counted(op)
            return
        elif op.name == "spend":
            self.pay_times(op)
            return
        elif op.name == "geometry":
            result = self.price_of(str(op.args[0]))
        elif op.name == "occupy":
            self.occupy(op)
            return
        else:
            arguments = [self.argument(a, w) for a, w in zip(op.args, op.wide, strict=True)]
            if op.name == "span":
                result = self.special("span", *arguments)
            else:
                self.known(op)
                result = self.waiting(op.name, arguments, op.open)
        if op.reg is not None:
            self.set_register(op.reg, result, 64)

    def known(self, op: Extern) -> None:
        """Refuse an operation that the engine does not have, and say where one may fail."""
        at = self.place
        if ARITIES.get(op.name) != len(op.args):
            raise located(
                f"{op.name}() is no operation of the pricing engine, or has other parameters", at,
                "those that there are stand in shootdown/workloads/externs.py",
            )  # fmt: skip
        if op.name in FALLIBLE:
            self.put("PLACE", str(self.layout.failure(FALLIBLE[op.name], at)))

    def pay_times(self, op: Extern) -> None:
        """``spend("invlpg", n)``."""
        if not isinstance(op.args[0], str):
            raise located("spend() needs the name of a price, as a text",
                          self.place)  # fmt: skip
        name = op.args[0]
        times, _ = self.value(_expr(op.args[1]))
        number = self.layout.price(name)
        if times == "1":
            self.pay(name)
            return
        self.known(op)
        self.call("spend", str(number), times)

    def price_of(self, name: str) -> str:
        """A number of the profile."""
        base = self.new(f"inttoptr i64 {self.get('PRICES')} to ptr")
        at = self.new(f"getelementptr i64, ptr {base}, i64 {self.layout.price(name)}")
        return self.new(f"load i64, ptr {at}")

    def occupy(self, op: Extern) -> None:
        """``occupy("dvm", "tlbi_deliver")``."""
        unit = str(op.args[0])
        number = str(self.layout.unit(unit))
        waited = self.call("occupy", number, self.price_of(str(op.args[1])))
        self.add_to("STALLS", self.layout.stall(unit), waited)

    def counted(self, op: Extern) -> None:
        """``count("ipi", n)``."""
        if not isinstance(op.args[0], str):
            raise located("count() needs a text", self.place)
        number, _ = self.value(_expr(op.args[1]))
        self.add_to("COUNTS", self.layout.count(str(op.args[0])), number)

    def argument(self, argument: ir.Expr | str, words: int) -> str:
        """An argument; a bit set (of so many words) is passed by its address."""
        value, bits = self.value(_expr(argument))
        if words == 0:
            return value
        width = words * 64
        self.do(f"store i{width} {self.resized(value, bits, width)}, ptr %scratch, align 8")
        return self.new("ptrtoint ptr %scratch to i64")

    def lock_operation(self, op: Extern) -> str:
        """Take or release a lock."""
        assert op.place is not None
        region = self.layout.space.region_at(op.place.base)
        element = self.element(op.place, region)
        word = self.new(f"add i64 {element}, {region.storage.base}")
        lock = self.new(f"add i64 {element}, {self.layout.lock(region)}")
        line = self.layout.line(region, LOCKS)
        if line is None:
            raise ModelError(f"{region.name}: {counted(region.length, 'lock')} are too many")
        return self.waiting(op.name, [word, lock, self.new(f"add i64 {element}, {line}")])

    def waiting(self, name: str, arguments: list[str], calls: tuple[int, ...] = ()) -> str:
        """Call an operation, again and again if it makes the thread wait."""
        if name not in runtime.WAITING:
            return self.call(name, *arguments)
        again, wait, on = self.label("try"), self.label("wait"), self.label("on")
        self.do(f"br label %{again}")
        self.lines.append(f"{again}:")
        result = self.call(name, *arguments)
        test = self.new(f"icmp eq i64 {result}, -1")
        self.do(f"br i1 {test}, label %{wait}, label %{on}")
        self.lines.append(f"{wait}:")
        self.stalled()
        self.do(f"br label %{again}")
        self.lines.append(f"{on}:")
        self.going_on(calls if name in runtime.IDLE else None)
        return result


def _expr(argument: ir.Expr | str) -> ir.Expr:
    assert not isinstance(argument, str), argument
    return argument


def _price_of(kind: str) -> str:
    """What a step costs besides what it says itself."""
    if kind in LOADS:
        return "mem_load"
    if kind in STORES or kind == "spin_unlock":
        return "mem_store"
    return "atomic"


def _stall_of(step: Step) -> str:
    """What a waiting thread waits for, in words."""
    if step.kind in ("wait", "extern", "atomic"):
        return step.activation.function if step.activation else step.text
    return step.kind


__all__ = ["Emitter", "Layout", "Register", "guarded_regions"]
