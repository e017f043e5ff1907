"""A comparison as a picture: SVG, without a library or a script in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from shootdown.report.cost import per_unit, time_text
from shootdown.workloads.pricing import Compared

ROW, TOP, LEFT, RIGHT, BAR = 44, 64, 200, 130, 360
COLOURS = {"HOLDS": "#2a7f4f", "VIOLATED": "#b3362b"}
OTHER = "#6b7280"
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2937 }
.small { font-size: 11px; fill: #4b5563 }
.head { font-size: 15px; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  .paper { fill: #111827 } text { fill: #f3f4f6 } .small { fill: #d1d5db }
}
"""


def plot(rows: Sequence[Compared]) -> str:
    """Bars of time, and of IPIs below them; the verdict is written and coloured, and the frontier
    of safe variants has a star."""
    first = rows[0].cost
    unit, times = first.unit
    longest = max(row.cost.priced.ns for row in rows) or 1
    most = max(row.cost.summary()["ipis"] for row in rows) or 1
    width, height = LEFT + BAR + RIGHT, TOP + ROW * len(rows) + 34
    title = f"{first.workload.name}: time and IPIs per {unit.removesuffix('s')}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text class="head" x="16" y="26">{escape(title)}</text>',
        f'<text class="small" x="16" y="46">{escape(_caption(first))}</text>',
    ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number
        ns, ipis = row.cost.priced.ns, row.cost.summary()["ipis"]
        colour = COLOURS.get(row.verdict, OTHER)
        star = " \N{BLACK STAR}" if row.frontier else ""
        verdict = " ".join(filter(None, (row.verdict or "not checked", row.violates)))
        parts += [
            f'<text x="16" y="{y + 14}">{escape(row.cost.variant.name)}{star}</text>',
            f'<text class="small" x="16" y="{y + 30}">{escape(verdict)}</text>',
            _bar(y + 3, ns / longest, colour, 14),
            _bar(y + 21, ipis / most, colour, 7, opacity=0.45),
            f'<text x="{LEFT + BAR + 12}" y="{y + 14}">{time_text(ns / max(times, 1))}</text>',
            f'<text class="small" x="{LEFT + BAR + 12}" y="{y + 29}">'
            f"{per_unit(ipis, times)} IPIs</text>",
        ]
    parts += [
        f'<text class="small" x="16" y="{height - 12}">'
        "Thick: time, estimated. Thin: IPIs. "
        "\N{BLACK STAR} holds, and no other that holds has fewer IPIs and less time.</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _caption(cost: object) -> str:
    from shootdown.workloads.pricing import Cost

    assert isinstance(cost, Cost)
    parameters = ", ".join(f"{name}={value}" for name, value in cost.parameters.items())
    return f"{parameters}; prices of {cost.profile.name}"


def _bar(y: int, share: float, colour: str, height: int, opacity: float = 1.0) -> str:
    return (
        f'<rect x="{LEFT}" y="{y}" width="{max(1.0, share * BAR):.1f}" height="{height}" rx="2" '
        f'fill="{colour}" fill-opacity="{opacity}"/>'
    )
