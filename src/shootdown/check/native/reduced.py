"""The part of the generated code that a search with ``order`` or ``merge`` has: its tables, and
small functions of the state that :mod:`.choose` calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shootdown.check.native import choose
from shootdown.check.native.bodies import most_outcomes
from shootdown.check.native.expressions import Env, Writer
from shootdown.check.native.layout import Layout
from shootdown.check.native.values import signed
from shootdown.check.reduce.cells import Effect
from shootdown.check.reduce.order import Order
from shootdown.check.reduce.reduction import Reduction
from shootdown.lang.ir import Const, Expr, Load, Place, System

_JUDGE = """\
define internal i64 @judge(i64 %state, i64 %goals, i64 %cover) {
  %s = inttoptr i64 %state to ptr
  %g = inttoptr i64 %goals to ptr
  %c = inttoptr i64 %cover to ptr
  %r = call i64 @check(ptr %s, ptr %g, ptr %c)
  ret i64 %r
}
"""
_MEMO = 32 << 20  # bytes, about, of which a short search touches few
_MOST_TRIES = 64  # sets T that are remembered in one choice
_FAR = 1 << 20  # height: one step of a process is worth more than all tokens


def reduced(system: System, layout: Layout, tables: dict[str, str], reduce: Reduction) -> list[str]:
    """LLVM IR of ``expand`` and what it calls, but for ``everything`` and ``canonical``."""
    order = reduce.order or reduce.merge
    assert order is not None
    return _Reduced(system, layout, tables, order).texts(reduce)


class _Reduced:
    """The tables of one system."""

    def __init__(
        self, system: System, layout: Layout, tables: dict[str, str], order: Order
    ) -> None:
        self.system = system
        self.layout = layout
        self.tables = tables
        self.order = order
        self.flow = order.flow
        self.constants: list[str] = []
        self.packed: dict[int, list[int]] = {}
        self.supports: dict[int, int] = {}  # by the first node of an action

    def texts(self, reduce: Reduction) -> list[str]:
        flow, order, words = self.flow, self.order, self.layout.words
        places = words_for(max([1, *(len(steps) for steps in flow.steps)]))
        record = {"VALID": 0, "KEY": 1, "ENDS_HERE": 1 + 2 * words + 4 * words}
        record["RESULT"] = record["KEY"] + 2 * words
        record["USED_HERE"] = record["ENDS_HERE"] + 1
        record["PLACES"] = record["USED_HERE"] + words
        record["RECORD_WORDS"] = record["PLACES"] + places
        actions = flow.agents - len(flow.steps) + sum(len(steps) for steps in flow.steps)
        counts = {
            "W": words,
            "AGENTS": flow.agents,
            "PARTS": len(order.parts),
            "PART": len(choose.PART_FIELDS) - 1 + 3 * words,
            "SETS": len(choose.PART_FIELDS) - 1 + words,
            "CLEARS": len(choose.PART_FIELDS) - 1 + 2 * words,
            "ACTION": len(choose.ACTION_FIELDS) - 1 + words,
            "NODE": len(choose.NODE_FIELDS) - 1 + 5 * words,
            "USES": len(choose.NODE_FIELDS) - 1 + 4 * words,
            "EDGE": len(choose.EDGE_FIELDS) - 1 + words,
            "MOST": most_outcomes(self.system),
            "LINES": len(self.system.lines),
            "ORDER": int(reduce.order is not None),
            "MERGE": int(reduce.merge is not None),
            "AGENT_WORDS": words_for(flow.agents),
            "PLACE_WORDS": places,
            "MOST_TRIES": _MOST_TRIES,
            "NODE_COUNT": len(flow.nodes),
            "RECORDS": records_of(actions, record["RECORD_WORDS"]),
            "MIX": 0x9E3779B97F4A7C15,
            **record,
        }
        counts["AREA"] = 8 * (
            2 + len(flow.nodes) + actions * counts["RECORDS"] * record["RECORD_WORDS"]
        )
        expand = self._expand(counts)
        functions = [
            self._fill(
                "conditions", flow.conditions, lambda w, e, env: w.number(w.condition(e, env)).text
            ),
            self._fill(
                "parts",
                [Const(0) if part.expr is None else part.expr for part in order.parts],
                lambda w, e, env: w.value(e, env).text,
            ),
            self._part_at(),
            self._entries(),
            self._height(),
            self._represent(reduce.symmetry is not None),
            _JUDGE,
        ]
        memo = f"@memo = global [3 x i64] [i64 0, i64 0, i64 {counts['AREA']}]"
        return [*self.constants, memo, *functions, choose.text(counts), expand]

    # ---------------------------------------------------------------------- tables

    def words(self, cells: int) -> list[int]:
        """A set of cells in the packing of the state."""
        found = self.packed.get(cells)
        if found is None:
            found = self.packed[cells] = [0] * self.layout.words
            where = self.flow.cells
            for slot, shift, mask in zip(self.layout.slots, where.shift, where.mask, strict=True):
                found[slot.word] |= (cells >> shift & mask) << slot.shift
        return found

    def effect(self, effect: Effect) -> list[int]:
        parts = (effect.reads, effect.ones, effect.zeros, effect.any)
        return [word for cells in parts for word in self.words(cells)]

    def table(self, name: str, numbers: Iterable[int]) -> str:
        """A constant array; its name."""
        content = [f"i64 {signed(number)}" for number in numbers] or ["i64 0"]
        kind = f"[{len(content)} x i64]"
        self.constants.append(
            f"@{name} = private unnamed_addr constant {kind} [{', '.join(content)}]"
        )
        return f"@{name}"

    def _seen(self) -> list[int]:
        out: list[int] = []
        for part in self.order.parts:
            out += [part.expr is not None, part.skip, part.harmless, part.root, part.whole]
            out.append(part.factor)
            out += [*self.words(part.cells), *self.words(part.sets), *self.words(part.clears)]
        return out

    def _actions(self) -> list[int]:
        """The table of actions: the steps of each process, then the rules."""
        flow = self.flow
        out: list[int] = []
        for steps in [*flow.steps, *([entry] for entry in flow.rules)]:
            first = len(out) // (len(choose.ACTION_FIELDS) - 1 + self.layout.words)
            for entry in steps:
                out += [entry, first, flow.nodes[entry].fair]
                out += self.words(self._support(entry))
        return out

    def _supports(self) -> list[int]:
        """The cells that each agent looks at."""
        out: list[int] = []
        for steps in [*self.flow.steps, *([entry] for entry in self.flow.rules)]:
            support = 0
            for entry in steps:
                support |= self._support(entry)
            out += self.words(support)
        return out

    def _support(self, entry: int) -> int:
        """The cells that an action looks at."""
        found = self.supports.get(entry)
        if found is None:
            seen, todo, found = {entry}, [entry], 0
            while todo:
                for edge in self.flow.nodes[todo.pop()].edges:
                    found |= edge.reads
                    if edge.target not in seen:
                        seen.add(edge.target)
                        todo.append(edge.target)
            self.supports[entry] = found
        return found

    def _expand(self, counts: dict[str, int]) -> str:
        flow, order, words = self.flow, self.order, self.layout.words
        nodes: list[int] = []
        edges: list[int] = []
        following: list[int] = []
        edge_count = 0
        for node in flow.nodes:
            steps = flow.steps[node.agent] if node.following else []
            nexts = [place for place in node.following if place < len(steps)]
            ranges = [edge_count, edge_count + len(node.edges)]
            ranges += [len(following), len(following) + len(nexts)]
            effect = self.effect(node.effect)
            empty = not (any(effect) or node.ends or nexts)
            nodes += [empty, node.ends, *ranges, *effect, *self.words(node.uses)]
            following += nexts
            edge_count += len(node.edges)
            for edge in node.edges:
                literal = edge.literal
                condition, value = (
                    (-1, 0) if literal is None else (literal.condition, literal.value)
                )
                edges += [edge.target, condition, int(value), *self.words(edge.reads)]
        fixed = {
            "ACTIONS": self.table("reduced.actions", self._actions()),
            "SUPPORTS": self.table("reduced.supports", self._supports()),
            "NODES": self.table("reduced.nodes", nodes),
            "EDGES": self.table("reduced.edges", edges),
            "FOLLOWING": self.table("reduced.following", following),
            "SEEN_PARTS": self.table("reduced.parts", self._seen()),
            "VISIBLE": self.table("reduced.visible", self.words(order.visible)),
            "KEPT": self.table("reduced.kept", self.words(order.kept)),
        }
        agents, count = flow.agents, len(flow.nodes)
        room = {
            "ENTRIES": agents, "STARTS": agents + 1, "TRUTH": len(flow.conditions),
            "BEFORE": len(order.parts), "AFTER": len(order.parts),
            "RECORD": counts["RECORD_WORDS"],
            "NOW": agents * 4 * words, "NOW_ENDS": agents, "CHANGES": agents * words,
            "ALONE": agents * 4 * words, "THERE": agents * counts["PLACE_WORDS"],
            "PART_OF": agents * 4 * words, "AHEAD": agents * counts["PLACE_WORDS"],
            "LOOKED": agents * words, "LOOKED_AHEAD": agents * words,
            "CLASHES": agents * counts["AGENT_WORDS"], "CLASHES_KNOWN": agents,
            "FUTURE": 4 * words,
            "WRITTEN": words, "NOTHING": words, "USED": words, "CORNER": words,
            "SETTLED": words, "WATCHED": words,
            "OVER": len(order.parts),
            "FORWARD": agents, "INSIDE": agents, "BEST": agents,
            "TRIED": words_for(agents) * _MOST_TRIES,
            "TODO": edge_count + 1, "SEEN": count,
        }  # fmt: skip
        lines = [f"  %c = alloca [{len(choose.CONTEXT)} x i64]"]
        for name, size in room.items():
            lines.append(f"  %{name} = alloca [{max(1, size)} x i64]")
        for index, name in enumerate(choose.CONTEXT):
            if name in fixed or name in room:
                target = fixed.get(name, f"%{name}")
                lines += [
                    f"  %n.{name} = ptrtoint ptr {target} to i64",
                    f"  %p.{name} = getelementptr i64, ptr %c, i64 {index}",
                    f"  store i64 %n.{name}, ptr %p.{name}",
                ]
        lines += [
            *(f"  %n.{x} = ptrtoint ptr %{x} to i64" for x in ("c", "state", "out", "cover")),
            "  %n.memo = ptrtoint ptr @memo to i64",
            "  %r = call i64 @edges(i64 %n.c, i64 %n.state, i64 %n.out, i64 %n.cover, i64 %n.memo)",
            "  ret i64 %r",
        ]
        pointers = "ptr noalias %state, ptr noalias %out, ptr noalias %cover"
        head = f"define i64 @expand({pointers}, i64 %skip, ptr noalias %kinds) {{"
        return "\n".join([head, *lines, "}", ""])

    # ------------------------------------------------------------------- functions

    def _writer(self) -> tuple[Writer, Env]:
        writer = Writer(self.system, self.layout, self.tables)
        return writer, Env(read_state(writer), [])

    def _fill(
        self,
        name: str,
        exprs: list[Expr],
        value: Callable[[Writer, Expr, Env], str],
    ) -> str:
        """A function that puts the values of expressions into an array."""
        writer, env = self._writer()
        for index, expr in enumerate(exprs):
            address = writer.new(f"getelementptr i64, ptr %to, i64 {index}")
            writer.do(f"store i64 {value(writer, expr, env)}, ptr {address}")
        writer.do("ret i64 0")
        return as_numbers(writer, name, ("state", "to"))

    def _part_at(self) -> str:
        """A function that gives the value of one root, in any state."""
        writer, env = self._writer()
        roots = [(a, p.expr) for a, p in enumerate(self.order.parts) if p.root and p.expr]
        labels = [writer.fresh("part") for _ in roots]
        none = writer.fresh("none")
        cases = [f"i64 {a}, label %{x}" for (a, _), x in zip(roots, labels, strict=True)]
        writer.do(f"switch i64 %number.part, label %{none} [ {'  '.join(cases)} ]")
        for (_, expr), label in zip(roots, labels, strict=True):
            writer.label(label)
            writer.do(f"ret i64 {writer.value(expr, env).text}")
        writer.label(none)
        writer.do("ret i64 0")
        return as_numbers(writer, "part_at", ("state",), ("part",))

    def _entries(self) -> str:
        writer, env = self._writer()
        first = 0
        for agent, process in enumerate(self.system.processes):
            steps = len(self.flow.steps[agent])
            numbers = [*range(first, first + steps), -1]
            name = self.table(f"reduced.steps{agent}", numbers)
            pc = writer.value(Load(Place(process.pc)), env).text
            at = writer.new(f"getelementptr i64, ptr {name}, i64 {pc}")
            entry = writer.new(f"load i64, ptr {at}")
            address = writer.new(f"getelementptr i64, ptr %to, i64 {agent}")
            writer.do(f"store i64 {entry}, ptr {address}")
            first += steps
        for rule in range(len(self.flow.rules)):
            agent = len(self.system.processes) + rule
            address = writer.new(f"getelementptr i64, ptr %to, i64 {agent}")
            writer.do(f"store i64 {first + rule}, ptr {address}")
        writer.do("ret i64 0")
        return as_numbers(writer, "entries", ("state", "to"))

    def _height(self) -> str:
        writer, env = self._writer()
        total = "0"
        for agent, process in enumerate(self.system.processes):
            ranks = [rank * _FAR for rank in self.order.ranks[agent]]
            name = self.table(f"reduced.ranks{agent}", ranks)
            pc = writer.value(Load(Place(process.pc)), env).text
            at = writer.new(f"getelementptr i64, ptr {name}, i64 {pc}")
            rank = writer.new(f"load i64, ptr {at}")
            total = writer.new(f"add i64 {total}, {rank}")
        for cells, op in ((self.order.up, "add"), (self.order.down, "sub")):
            for word, mask in zip(env.words, self.words(cells), strict=True):
                if mask:
                    spent = writer.new(f"and i64 {word}, {signed(mask)}")
                    number = writer.new(f"call i64 @llvm.ctpop.i64(i64 {spent})")
                    total = writer.new(f"{op} i64 {total}, {number}")
        writer.do(f"ret i64 {total}")
        return as_numbers(writer, "height", ("state",))

    def _represent(self, symmetry: bool) -> str:
        writer = Writer(self.system, self.layout, self.tables)
        if symmetry:
            writer.new("call i64 @canonical(ptr %state)")
        writer.do("ret i64 0")
        return as_numbers(writer, "represent", ("state",))


# --------------------------------------------------------------------------- text


def words_for(members: int) -> int:
    """The words of a set of so many members."""
    return max(1, -(-members // 64))


def records_of(actions: int, words: int) -> int:
    """How many records the memo has for each action: a power of two."""
    most = _MEMO // (8 * words * max(1, actions))
    return 1 << min(13, max(0, most.bit_length() - 1))


def read_state(writer: Writer) -> list[str]:
    """Load the words of the state."""
    words = []
    for i in range(writer.layout.words):
        address = writer.new(f"getelementptr i64, ptr %state, i64 {i}")
        words.append(writer.new(f"load i64, ptr {address}"))
    return words


def as_numbers(
    writer: Writer, name: str, arguments: tuple[str, ...], more: tuple[str, ...] = ()
) -> str:
    """A function whose arguments are numbers, as ``subset`` has them: addresses, then ``more``."""
    writer.lines[:0] = [f"  %{x} = inttoptr i64 %number.{x} to ptr" for x in arguments]
    heads = ", ".join(f"i64 %number.{x}" for x in (*arguments, *more))
    text = writer.function(f"@{name}({heads})")
    return text.replace("define i64", "define internal i64", 1)


def once(text: str) -> str:
    """The text with each declaration and definition of an intrinsic once."""
    seen: set[str] = set()
    lines = []
    for line in text.split("\n"):
        if line.startswith("declare "):
            if line in seen:
                continue
            seen.add(line)
        lines.append(line)
    return "\n".join(lines)
