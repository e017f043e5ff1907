"""From a graph of blocks to a process: steps, live locals, program counters.

While a thread is compiled its code is one graph. Blocks that begin with a shared access are *step
blocks*; the blocks between them are local work, which belongs to the step before. Here that graph
is cut into one :class:`~shootdown.lang.ir.Action` for each step block. Registers that are still
needed at the beginning of a step are kept in variables of the state (*slots*), and cleared as soon
as they are not, so that equal situations are equal states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from shootdown.errors import ModelError
from shootdown.lang import ir
from shootdown.lang.bodies import compact, expr_regs, op_uses
from shootdown.lang.frozen import value
from shootdown.lang.kinds import IntKind, Kind
from shootdown.lang.shapes import PROCESS, Naming, Shape
from shootdown.lang.space import StateSpace, shape_of


@dataclass
class Activation:
    """One call of a function while compiling."""

    serial: int
    function: str
    location: ir.Location
    parent: Activation | None = None
    site: ir.Location | None = None  # where it is called, unless it is the thread itself

    def chain(self) -> list[Activation]:
        """This call and those around it, outermost first."""
        calls: list[Activation] = []
        at: Activation | None = self
        while at is not None:
            calls.append(at)
            at = at.parent
        return calls[::-1]


@dataclass
class Step:
    """What a step block is."""

    kind: str
    text: str
    location: ir.Location
    activation: Activation | None
    order: int = 0  # of the steps of a thread, as the source is read
    looks: set[int] = field(default_factory=set)  # the variables that somebody may look at here


@value
class CallNote:
    """The text of a whole call, used as its step's label if the call turns out to be one step."""

    serial: int
    note: ir.Note


@dataclass(eq=False)
class MBlock:
    """A block under construction; ``end`` holds other blocks, not numbers."""

    ops: list[ir.Op | CallNote] = field(default_factory=list)
    end: MJump | MBranch | MChoice | None = None
    step: Step | None = None
    loop: ir.Location | None = None  # this block is the head of a while loop

    def targets(self) -> list[MBlock]:
        """The blocks that may follow."""
        if isinstance(self.end, MBranch):
            return [self.end.then, self.end.orelse]
        return [] if self.end is None else [self.end.target]


@dataclass
class MJump:
    """Go on with a block."""

    target: MBlock


@dataclass
class MBranch:
    """Go on with one of two blocks."""

    condition: ir.Expr
    then: MBlock
    orelse: MBlock


@dataclass
class MChoice:
    """Go on once for each bit of a mask."""

    reg: int
    mask: ir.Expr
    width: int
    target: MBlock


@value
class Register:
    """A register: its name in the source, its kind, and whether the user named it."""

    name: str
    kind: Kind
    named: bool = False


def uses_of(op: ir.Op | CallNote) -> set[int]:
    """The registers that an operation reads."""
    return set(op_uses(op.note if isinstance(op, CallNote) else op))


def end_uses(block: MBlock) -> set[int]:
    """The registers that a block's end reads."""
    match block.end:
        case MBranch(condition=condition):
            return set(expr_regs(condition))
        case MChoice(mask=mask):
            return set(expr_regs(mask))
    return set()


def lowest(kind: Kind) -> int:
    """What a stored local is moved by, so that negative numbers become 0 and above."""
    return min(kind.lo, 0) if isinstance(kind, IntKind) else 0


def shown_slot(kind: Kind) -> Callable[[int], str]:
    """How a stored local is shown."""
    low = lowest(kind)
    return (lambda value: kind.show(value + low)) if low else kind.show


def slot_size(kind: Kind) -> int:
    """How many values a stored local can have."""
    return kind.size - lowest(kind)


class Graph:
    """The finished graph of one thread, rule or property."""

    def __init__(self, entry: MBlock, exit_: MBlock, registers: list[Register]) -> None:
        self.entry = entry
        self.exit = exit_
        self.registers = registers
        self.blocks = self._reachable()

    def _reachable(self) -> list[MBlock]:
        seen, order, stack = {id(self.entry)}, [], [self.entry]
        while stack:
            block = stack.pop()
            order.append(block)
            for target in reversed(block.targets()):
                if id(target) not in seen:
                    seen.add(id(target))
                    stack.append(target)
        return order

    def check_loops(self) -> None:
        """Refuse a loop without a step in it: it would be one endless step."""
        state: dict[int, int] = {}

        def visit(block: MBlock) -> None:
            stack = [(block, iter(block.targets()))]
            state[id(block)] = 1
            while stack:
                at, targets = stack[-1]
                for target in targets:
                    if target.step is not None:
                        continue
                    if state.get(id(target)) == 1:
                        raise self._endless(target, [b for b, _ in stack])
                    if id(target) not in state:
                        state[id(target)] = 1
                        stack.append((target, iter(target.targets())))
                        break
                else:
                    state[id(at)] = 2
                    stack.pop()

        for block in self.blocks:
            if id(block) not in state:
                visit(block)

    def _endless(self, target: MBlock, stack: list[MBlock]) -> ModelError:
        cycle = stack[next(i for i, b in enumerate(stack) if b is target) :]
        at = next((b.loop for b in cycle if b.loop is not None), None)
        return ModelError(
            "this loop may go round without a shared access: no other thread would ever run",
            file=at.file if at else None,
            line=at.line if at else None,
            text=at.text if at else None,
            hint="read shared state in the loop, or use 'for' over something finite",
        )

    def live_in(self) -> dict[int, set[int]]:
        """For each block (by id) the registers whose present value may still be read."""
        uses: list[int] = []  # sets of registers, a bit for each
        kept: list[int] = []  # all but those that the block sets
        for block in self.blocks:
            used: set[int] = set()
            defined: set[int] = set()
            for op in block.ops:
                used |= uses_of(op) - defined
                if isinstance(op, ir.Set):
                    defined.add(op.reg)
            used |= end_uses(block) - defined
            if isinstance(block.end, MChoice):
                defined.add(block.end.reg)
            uses.append(sum(1 << reg for reg in used))
            kept.append(~sum(1 << reg for reg in defined))
        number = {id(block): i for i, block in enumerate(self.blocks)}
        targets = [[number[id(t)] for t in b.targets() if id(t) in number] for b in self.blocks]
        live = uses[:]
        changed = True
        while changed:
            changed = False
            for i in reversed(range(len(live))):
                out = 0
                for target in targets[i]:
                    out |= live[target]
                new = uses[i] | out & kept[i]
                if new != live[i]:
                    live[i] = new
                    changed = True
        return {id(block): _members(live[i]) for i, block in enumerate(self.blocks)}

    def singles(self) -> set[int]:
        """Serials of the calls that are one step, innermost only."""
        count: dict[int, int] = {}
        for block in self.blocks:
            if block.step is not None and block.step.activation is not None:
                for call in block.step.activation.chain():
                    count[call.serial] = count.get(call.serial, 0) + 1
        found = set()
        for block in self.blocks:
            if block.step is not None and block.step.activation is not None:
                innermost = block.step.activation
                if count[innermost.serial] == 1 and innermost.parent is not None:
                    found.add(innermost.serial)
        return found


def _members(bits: int) -> set[int]:
    """The numbers of the bits that are set."""
    found = set()
    while bits:
        lowest = bits & -bits
        found.add(lowest.bit_length() - 1)
        bits ^= lowest
    return found


@dataclass(frozen=True)
class Cut:
    """A thread's actions, and what runs before the first of them."""

    actions: tuple[ir.Action, ...]
    pc: int
    start: int  # the first program counter
    prologue: ir.Body | None  # local work before the first step, to be run on the initial state
    looks: tuple[frozenset[int], ...]  # for each action the variables that it may look at

    def looks_at(self, number: int, variable: int) -> int:
        """1 if the action with this number, if there is one, may look at a variable."""
        return int(number < len(self.looks) and variable in self.looks[number])


class Cutter:
    """Cuts the graph of a thread, process number ``process``, into actions. ``location`` is that of
    its path."""

    def __init__(
        self,
        graph: Graph,
        space: StateSpace,
        name: str,
        process: int,
        column: int | None,
        location: ir.Location,
    ) -> None:
        self.graph = graph
        self.space = space
        self.name = name
        self.keys = ((PROCESS, process),)
        self.column = column
        self.location = location
        graph.check_loops()
        self.live = graph.live_in()
        self.steps = [block for block in graph.blocks if block.step is not None]
        self.number = {id(block): i for i, block in enumerate(self.steps)}
        self.single = graph.singles()

    def cut(self) -> Cut:
        """The actions, with slots and a program counter allocated in the state."""
        graph = self.graph
        entry_is_step = graph.entry.step is not None
        prologue_blocks = [] if entry_is_step else self._region(graph.entry)
        keep_start = any(
            isinstance(block.end, MChoice)
            or any(isinstance(op, (ir.Guard, ir.Check)) for op in block.ops)
            for block in prologue_blocks
        )
        if keep_start:
            graph.entry.step = Step("start", "start", self.location, None)
            self.steps.insert(0, graph.entry)
            self.number = {id(block): i for i, block in enumerate(self.steps)}
            entry_is_step = True
        self.slots = self._allocate_slots()
        end = len(self.steps)
        self.pc = self.space.scalar(
            f"{self.name}.pc", end + 1, 0, None, hidden=True, naming=Naming("pc", self.keys)
        )
        actions = tuple(self._action(block) for block in self.steps)
        looks = tuple(frozenset(block.step.looks) for block in self.steps if block.step)
        if entry_is_step:
            return Cut(actions, self.pc, self.number[id(graph.entry)], None, looks)
        return Cut(actions, self.pc, 0, self._body(graph.entry), looks)

    def _region(self, start: MBlock) -> list[MBlock]:
        """``start`` and the local blocks that belong to it, in topological order."""
        order: list[MBlock] = []
        seen = {id(start)}
        stack = [(start, iter(start.targets()[::-1]))] if start is not self.graph.exit else []
        while stack:
            block, targets = stack[-1]
            for target in targets:
                local = target.step is None and target is not self.graph.exit
                if local and id(target) not in seen:
                    seen.add(id(target))
                    stack.append((target, iter(target.targets()[::-1])))
                    break
            else:
                order.append(block)
                stack.pop()
        return order[::-1]

    def _allocate_slots(self) -> dict[int, int]:
        """A variable for each register that lives into a step; shared where lives are apart."""
        sets = [self.live[id(block)] for block in self.steps]
        conflicts: dict[int, set[int]] = {}
        for live in sets:
            for reg in live:
                conflicts.setdefault(reg, set()).update(live - {reg})
        colour: dict[int, int] = {}
        slots: list[tuple[int, Kind | None]] = []  # its size, and the kind of what people see in it
        sizes = {reg: slot_size(self.graph.registers[reg].kind) for reg in conflicts}
        for reg in sorted(conflicts, key=lambda r: (-sizes[r], r)):
            register = self.graph.registers[reg]
            taken = {colour[other] for other in conflicts[reg] if other in colour}
            seen = register.kind if register.named else None
            free = [
                c
                for c, (_, kind) in enumerate(slots)
                if c not in taken and (kind is None or seen is None or kind == seen)
            ]
            best = next((c for c in free if slots[c][0] == sizes[reg]), None)
            if best is None:
                best = next(iter(free), None)
            if best is None:
                slots.append((sizes[reg], seen))
                best = len(slots) - 1
            size, kind = slots[best]
            slots[best] = (size, kind or seen)
            colour[reg] = best
        names: dict[int, list[int]] = {}
        for reg, c in colour.items():
            names.setdefault(c, []).append(reg)
        variables = []
        for c, (size, _) in enumerate(slots):
            owners = [self.graph.registers[reg] for reg in sorted(names[c])]
            people = [register for register in owners if register.named] or owners
            kinds = {register.kind for register in people}
            show = people[0].kind.show if len(kinds) == 1 else None
            label = "/".join(dict.fromkeys(register.name for register in people))
            hidden = not any(register.named for register in owners)
            name = f"{self.name}.{label}"
            steps: dict[Shape, set[int]] = {}
            for number, live in enumerate(sets):
                for reg in live.intersection(names[c]):
                    shape = shape_of(self.graph.registers[reg].kind)
                    if shape is not None:
                        steps.setdefault(shape, set()).add(number)
            while_at = tuple((shape, frozenset(at)) for shape, at in steps.items())
            naming = Naming(f"local {c}", self.keys, None, while_at)
            variables.append(self.space.scalar(name, size, 0, show, hidden=hidden, naming=naming))
        return {reg: variables[c] for reg, c in colour.items()}

    def _action(self, block: MBlock) -> ir.Action:
        step = block.step
        assert step is not None
        calls = tuple(
            ir.Call(c.function, c.serial, c.serial in self.single, c.location, c.site)
            for c in (step.activation.chain() if step.activation else [])
        )
        body = self._body(block)
        return ir.Action(
            name=f"{self.name}:{step.text}",
            body=body,
            info=ir.StepInfo(step.kind, step.text, step.location, calls, step.order),
            fair=True,
            column=self.column,
        )

    def _body(self, start: MBlock) -> ir.Body:
        region = self._region(start)
        inside = {id(block): i for i, block in enumerate(region)}
        live_in = self.live[id(start)] if start.step is not None else set()
        assigned = {op.reg for b in region for op in b.ops if isinstance(op, ir.Set)} | {
            b.end.reg for b in region if isinstance(b.end, MChoice)
        }
        blocks: list[ir.Block] = []
        tails: list[ir.Block] = []
        tail_of: dict[int, int] = {}

        def leave(target: MBlock) -> int:
            """The number of the block that stores the locals and moves the program counter."""
            if id(target) in inside and target is not start:
                return inside[id(target)]
            if id(target) not in tail_of:
                tail_of[id(target)] = len(region) + len(tails)
                tails.append(ir.Block(tuple(self._leave_ops(target, live_in, assigned)), ir.Done()))
            return tail_of[id(target)]

        serial = start.step.activation.serial if start.step and start.step.activation else -1
        for block in region:
            ops: list[ir.Op] = []
            if block is start:
                ops += [ir.Set(reg, self._load(reg)) for reg in sorted(live_in)]
            ops += self._with_labels(block, serial)
            end: ir.Terminator
            match block.end:
                case MJump(target):
                    end = ir.Jump(leave(target))
                case MBranch(condition, then, orelse):
                    end = ir.Branch(condition, leave(then), leave(orelse))
                case MChoice(reg, mask, width, target):
                    end = ir.Choice(reg, mask, width, leave(target))
                case _:
                    end = ir.Jump(leave(self.graph.exit))
            blocks.append(ir.Block(tuple(ops), end))
        if not region:
            tails.append(
                ir.Block(tuple(self._leave_ops(self.graph.exit, live_in, assigned)), ir.Done())
            )
        return compact(blocks + tails)

    def _with_labels(self, block: MBlock, serial: int) -> list[ir.Op]:
        """The block's operations with one label: the call's where the call is one step."""
        ops: list[ir.Op] = []
        for op in block.ops:
            if isinstance(op, CallNote):
                if op.serial == serial and serial in self.single:
                    ops.append(op.note)
            elif not (
                isinstance(op, ir.Note) and op.kind is ir.NoteKind.LABEL and serial in self.single
            ):
                ops.append(op)
        return ops

    def _load(self, reg: int) -> ir.Expr:
        """A register's value from its slot."""
        low = lowest(self.graph.registers[reg].kind)
        value = ir.Load(ir.Place(self.slots[reg]))
        return ir.Binary("add", value, ir.Const(low)) if low else value

    def _leave_ops(self, target: MBlock, live_in: set[int], assigned: set[int]) -> list[ir.Op]:
        wanted = self.live[id(target)] if target.step is not None else set()
        ops: list[ir.Op] = []
        for reg in sorted(wanted):
            if reg in assigned or reg not in live_in:
                low = lowest(self.graph.registers[reg].kind)
                value = ir.Binary("sub", ir.Reg(reg), ir.Const(low)) if low else ir.Reg(reg)
                ops.append(ir.Store(ir.Place(self.slots[reg]), value))
        kept = {self.slots[reg] for reg in wanted}
        for slot in sorted({self.slots[reg] for reg in live_in} - kept):
            ops.append(ir.Store(ir.Place(slot), ir.Const(0)))
        number = self.number.get(id(target), len(self.steps))
        ops.append(ir.Store(ir.Place(self.pc), ir.Const(number)))
        return ops


def atomic_body(graph: Graph) -> ir.Body:
    """The body of a rule or property: the whole graph is one step."""
    graph.check_loops()
    index = {id(block): i for i, block in enumerate(graph.blocks)}
    blocks = []
    for block in graph.blocks:
        end: ir.Terminator
        match block.end:
            case MJump(target):
                end = ir.Jump(index[id(target)])
            case MBranch(condition, then, orelse):
                end = ir.Branch(condition, index[id(then)], index[id(orelse)])
            case MChoice(reg, mask, width, target):
                end = ir.Choice(reg, mask, width, index[id(target)])
            case _:
                end = ir.Done()
        blocks.append(ir.Block(tuple(op for op in block.ops if not isinstance(op, CallNote)), end))
    return compact(blocks)
