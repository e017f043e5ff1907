"""Code is linked in one place, however much memory lies in between."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAR = """
import mmap
from shootdown.cost.engine import Run
from shootdown.cost.profile import Profile
from shootdown.native import jit
from shootdown.workloads.dontneed import dontneed

run = Run(dontneed.plan({"cpus": 4096}), Profile.load("skylake-2s"))
code = jit.kept_coroutines(run.text) or jit.compile_coroutines(run.text, jit.GOOD)
kept = []
for i in range(12):
    kept.append(mmap.mmap(-1, 3 << 30))
    if i % 2:
        kept[-1].close()
    kept.append(jit.Library(code, ("run",)))
print("linked")
"""


@pytest.mark.slow
def test_code_is_linked_among_large_mappings() -> None:
    ran = subprocess.run([sys.executable, "-c", FAR], capture_output=True, text=True, check=False)
    assert ran.stdout == "linked\n", ran.stderr
