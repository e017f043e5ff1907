"""The search loop does not become slower unnoticed: its instructions, counted by callgrind.

The object code of the core and of ``dontneed(3,1)`` is linked with a small main program and run
under valgrind, for a processor that valgrind knows. The number depends on LLVM and on nothing else.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from dontneed import system
from shootdown.check.native import core
from shootdown.check.native.emit import emit
from shootdown.check.native.layout import plan
from shootdown.native import jit

RECORDED = 116.1  # instructions for each transition
TOLERANCE = 0.05

MAIN = r"""
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t run(int64_t, int64_t), refill(int64_t, int64_t, int64_t);
int64_t expand(), check();
static int64_t context[%(length)d];

static int64_t memory(size_t size)
{
    char *p = aligned_alloc(64, (size + 63) / 64 * 64);
    memset(p, 0, size);
    return (int64_t)p;
}

int main(void)
{
    int64_t *c = context;
    c[%(EXPAND)d] = (int64_t)expand;
    c[%(CHECK)d] = (int64_t)check;
%(arrays)s
    c[%(BUCKETS)d] = 3008;
    c[%(ROOM)d] = c[%(LIMIT)d] = c[%(MOST_SKIPS)d] = 30000;
    *(int64_t *)c[%(STATES)d] = %(init)d;
    c[%(KNOWN)d] = c[%(LEVEL_END)d] = c[%(LEVELS_KEPT)d] = 1;
    refill((int64_t)c, 0, 1);
    int64_t status = run((int64_t)c, 1 << 30);
    printf("%%ld %%ld %%ld\n", status, c[%(KNOWN)d], c[%(TRANSITIONS)d]);
    return 0;
}
"""
ARRAYS = [
    "STATES",
    "LEVELS",
    "TABLE",
    "OUT",
    "HASHES",
    "KINDS",
    "CANDIDATES",
    "UNKNOWN",
    "MADE",
    "ENDS",
    "LEFT",
    "SKIPPED",
    "SKIPS",
    "COVER",
    "PROPERTY_COVER",
    "GOALS",
]


def compiled(ir: str) -> bytes:
    """Object code for a processor with AVX2."""
    jit._host()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu="x86-64-v3", opt=jit.GOOD, reloc="pic", codemodel="default"
    )
    return jit.compiled(ir, jit.GOOD, machine)


@pytest.mark.peer
@pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed")
@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")
def test_instructions_of_the_search_loop(tmp_path: Path) -> None:
    made = system(3, 1)
    layout = plan(made)
    assert layout.words == 1
    names = {name: number for number, name in enumerate(core.CONTEXT)}
    arrays = "".join(f"    c[{names[name]}] = memory(1 << 19);\n" for name in ARRAYS)
    fields = {"arrays": arrays, "init": layout.pack(made.init)[0]}
    main = MAIN % (names | fields | {"length": len(names)})
    (tmp_path / "main.c").write_text(main)
    (tmp_path / "core.o").write_bytes(compiled(core.text(1)))
    (tmp_path / "model.o").write_bytes(compiled(emit(made, layout)))
    command = ["gcc", "-w", "-O1", "-o", "search", "main.c", "core.o", "model.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=run", "./search"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    status, states, transitions = map(int, done.stdout.split())
    assert (status, states, transitions) == (core.STATUS["DONE"], 21_451, 118_011)
    found = re.search(r"Collected : (\d+)", done.stderr)
    assert found is not None
    each = int(found[1]) / transitions
    assert each == pytest.approx(RECORDED, rel=TOLERANCE)
