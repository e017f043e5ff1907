"""``dontneed(N, P)`` for Rumur, in the Murphi language, without symmetry reduction."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from peers import Contestant, PeerError, Run, Size
from peers.process import first_line, measure, succeed

FLAGS = (
    "--threads=1",
    "--symmetry-reduction=off",
    "--deadlock-detection=off",  # the end, where everybody has returned, is none
    "--counterexample-trace=off",
    f"--set-capacity={64 << 20}",
)
CFLAGS = ("-std=c11", "-O3", "-march=native", "-mcx16")


def murphi(size: Size) -> str:
    """The family's rules in Murphi."""
    zaps = [f"zap_{p}" for p in range(size.pages)]
    places = ", ".join(
        ["idle", "want_lock", *zaps, "unlock", "decide", "flushing", "freeing", "leave", "returned"]
    )
    zap_rules = "".join(
        f"""
  rule "{zap}" pc[c] = {zap} ==>
  begin
    if pte[{p}] != none then pte[{p}] := none; gather[c][{p}] := true; end;
    pc[c] := {after};
  end;
"""
        for p, (zap, after) in enumerate(zip(zaps, [*zaps[1:], "unlock"], strict=True))
    )
    nested = "| pending > 1" if size.nested else ""
    return f"""
type
  cpu: 0 .. {size.cpus - 1};
  page: 0 .. {size.pages - 1};
  entry: enum {{ none, clean, dirty }};
  place: enum {{ {places} }};
var
  pte: array [page] of entry;
  freed: array [page] of boolean;
  locked: 0 .. {size.cpus};
  pending: 0 .. {size.cpus};
  tlb: array [cpu] of array [page] of entry;
  pc: array [cpu] of place;
  mask: array [cpu] of array [cpu] of boolean;
  gather: array [cpu] of array [page] of boolean;

startstate
begin
  for p: page do pte[p] := clean; freed[p] := false; end;
  locked := 0;
  pending := 0;
  for c: cpu do
    pc[c] := idle;
    for p: page do tlb[c][p] := none; gather[c][p] := false; end;
    for k: cpu do mask[c][k] := false; end;
  end;
end;

ruleset c: cpu; p: page do
  rule "fill" tlb[c][p] = none & pte[p] != none ==>
  begin tlb[c][p] := pte[p]; end;

  rule "evict" tlb[c][p] != none ==>
  begin tlb[c][p] := none; end;

  rule "write" tlb[c][p] = clean & pte[p] != none ==>
  begin tlb[c][p] := dirty; pte[p] := dirty; end;
end;

ruleset c: cpu do
  rule "begin" pc[c] = idle ==>
  begin pc[c] := want_lock; pending := pending + 1; end;

  rule "lock" pc[c] = want_lock & locked = 0 ==>
  begin pc[c] := zap_0; locked := c + 1; end;
{zap_rules}
  rule "unlock" pc[c] = unlock ==>
  begin pc[c] := decide; locked := 0; end;

  rule "decide" pc[c] = decide ==>
  begin
    if (exists p: page do gather[c][p] end) {nested} then
      for k: cpu do mask[c][k] := true; end;
      pc[c] := flushing;
    else
      pc[c] := freeing;
    end;
  end;

  rule "free" pc[c] = freeing ==>
  begin
    for p: page do
      if gather[c][p] then freed[p] := true; gather[c][p] := false; end;
    end;
    pc[c] := leave;
  end;

  rule "leave" pc[c] = leave ==>
  begin pc[c] := returned; pending := pending - 1; end;
end;

ruleset c: cpu; k: cpu do
  rule "flush" mask[c][k] ==>
  begin
    mask[c][k] := false;
    for p: page do tlb[k][p] := none; end;
    if !(exists j: cpu do mask[c][j] end) then pc[c] := freeing; end;
  end;
end;

invariant "no CPU caches a freed page"
  forall c: cpu do forall p: page do freed[p] -> tlb[c][p] = none end end;

invariant "after a return no CPU caches a page"
  (exists c: cpu do pc[c] = returned end)
  -> (forall c: cpu do forall p: page do tlb[c][p] = none end end);
"""


def parse(output: str, seconds: float, whole: float, memory: int) -> Run:
    """Read what a verifier printed."""
    states = re.search(r"(\d+) states, \d+ rules fired", output)
    if states is None or "out of memory" in output.lower():
        raise PeerError(f"Rumur's verifier did not finish:\n{output[-2000:]}")
    return Run(int(states[1]), "No error found" not in output, seconds, whole, memory)


def prepare(size: Size, directory: Path) -> Callable[[], Run]:
    """Generate and compile the verifier."""
    (directory / "dontneed.m").write_text(murphi(size), encoding="utf-8")
    build = succeed(["rumur", *FLAGS, "dontneed.m", "--output=dontneed.c"], directory).seconds
    compile_ = ["gcc", "-w", *CFLAGS, "-o", "dontneed", "dontneed.c", "-lpthread"]
    build += succeed(compile_, directory).seconds

    def search() -> Run:
        done = measure(["./dontneed"], directory)
        return parse(done.output, done.seconds, build + done.seconds, done.memory)

    return search


def _version() -> str | None:
    return first_line(["rumur", "--version"]) if first_line(["gcc", "--version"]) else None


CONTESTANTS = (
    Contestant(
        "Rumur",
        f"gcc {' '.join(CFLAGS)}, no symmetry reduction",
        _version,
        prepare,
    ),
)
