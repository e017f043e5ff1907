"""A machine whose prices are known, and what calibrate would measure on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from shootdown.cost import calibrate_machine as machine
from shootdown.cost.calibrate_bench import FEW, MANY, SHOT, SIZES
from shootdown.cost.calibrate_statistics import Burst, Series

TRUE: Mapping[str, float] = {
    "kernel_entry": 100, "page_fault": 300, "interrupt_entry": 700, "interrupt_return": 150,
    "context_switch": 900, "cr3_switch": 60, "ipi_send": 650, "ipi_deliver": 500, "ack": 45,
    "handler": 210, "invlpg": 40, "flush_all": 260, "tlb_walk": 20, "mem_load": 2, "mem_store": 1,
    "atomic": 7, "barrier": 6, "line_transfer": 45, "lock_handover": 90, "alloc_page": 150,
    "free_page": 70, "clear_page": 80, "copy_page": 170, "rmap": 30,
}  # fmt: skip


def medians(true: Mapping[str, float] = TRUE) -> dict[str, float]:
    """One round without noise, in ns."""
    p = true
    out = {
        "nothing": 20.0, "getpid": p["kernel_entry"], "load": p["mem_load"],
        "stores": p["mem_store"], "atomics": p["atomic"], "fences": p["barrier"],
        "clear": p["clear_page"], "copy": p["copy_page"], "walk.near": 4.0,
        "walk.far": 4.0 + p["tlb_walk"], "bounce": p["line_transfer"], "hold": 512.0,
        "ticket": 512.0 + p["lock_handover"], "signal.blocked": 800.0,
        "signal.sent": 800.0 + p["ipi_send"],
    }  # fmt: skip
    yielding = 2 * (p["context_switch"] + p["kernel_entry"])
    out |= {"yield.threads": yielding, "yield.processes": yielding + 2 * p["cr3_switch"]}
    read = 120.0
    write = read + p["alloc_page"] + p["clear_page"] + p["rmap"]
    for n in SIZES:
        out[f"populate.read.{n}"] = 400 + n * read
        out[f"populate.write.{n}"] = 400 + n * write
        out[f"touch.{n}"] = n * (write + p["page_fault"])
    for n in (64, 256):
        out[f"unmap.zero.{n}"] = 500 + n * 15.0
        out[f"unmap.file.{n}"] = 500 + n * (15 + p["rmap"])
        out[f"unmap.anon.{n}"] = 500 + n * (15 + p["rmap"] + p["free_page"])
    for n in FEW:
        out[f"flush.{n}"] = 600 + n * (1 + p["invlpg"])
    for n in MANY:
        out[f"flush.{n}"] = 600 + n + p["flush_all"]
    parts = ("ipi_deliver", "interrupt_entry", "handler", "invlpg", "ack")
    for n in SHOT:
        flush = n * p["invlpg"] if n <= 33 else p["flush_all"]
        out[f"alone.{n}"] = 700 + 150 * n + flush
        out[f"shared.{n}"] = out[f"alone.{n}"] + sum(p[part] for part in parts)
        out[f"gap.{n}"] = p["interrupt_entry"] + p["interrupt_return"] + p["handler"] + flush
    there = p["interrupt_entry"] + p["interrupt_return"]
    half = p["kernel_entry"] / 2
    out |= {
        "gap.membarrier": there,
        "delay": p["ipi_deliver"] + half,
        "acked": p["interrupt_entry"] + half + p["ack"],
        "membarrier": p["ipi_deliver"] + there + p["ack"],
    }
    return out


@dataclass
class SyntheticBench:
    """Stands in for the bench: ``wrong`` are other medians, ``noisy`` swing by half from round to
    round, ``refused`` never count."""

    wrong: Mapping[str, float] = field(default_factory=dict)
    noisy: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    series: dict[str, Series] = field(default_factory=lambda: defaultdict(Series))
    medians: dict[str, float] = field(default_factory=dict)
    rounds: int = 0

    def round(self) -> Iterator[str]:
        """One round."""
        yield "all"
        self.rounds += 1
        self.medians = {}
        for name, true in {**medians(), **self.wrong}.items():
            if name in self.refused:
                self.series[name].refused += 1
                continue
            swing = 1.5 if name in self.noisy and self.rounds % 2 else 1.0
            self.medians[name] = true * swing
            self.series[name].bursts.append(Burst(true * swing, true * 2, 100))


def install(monkeypatch: pytest.MonkeyPatch) -> SyntheticBench:
    """From now on calibrate measures the known machine, on whatever the tests run."""
    bench = SyntheticBench()
    monkeypatch.setattr("shootdown.cost.calibrate.Bench", lambda *_: bench)
    monkeypatch.setattr("shootdown.cost.calibrate.Native", lambda: None)
    monkeypatch.setattr(machine, "check_machine", lambda: None)
    monkeypatch.setattr(machine, "ticks_per_ns", lambda _: 1.0)
    monkeypatch.setattr(machine, "tlb", lambda _: (2048, 16))
    monkeypatch.setattr(machine, "cpu_times", lambda _: [0] * 10)
    places = {0: machine.Place(0, 0), 1: machine.Place(0, 1)}
    monkeypatch.setattr(machine, "places", lambda: places)
    monkeypatch.setattr(machine, "describe", lambda: "a synthetic machine")
    return bench
