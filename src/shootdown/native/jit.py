"""Machine code from LLVM IR text, with a cache of compiled code on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

CACHE_BYTES = 64 << 20
_MAGIC = b"shootdown-code-3"
_serial = count()


class Library:
    """Compiled functions; they live as long as this object."""

    def __init__(self, code: bytes, names: tuple[str, ...]) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        self._tracker = builder.link(_jit(), f"shootdown{next(_serial)}")
        self.addresses: dict[str, int] = {name: self._tracker[name] for name in names}


FAST, GOOD = 0, 2
"""Levels: compile fast, or make good code."""


def load(ir: str, names: tuple[str, ...], level: int) -> Library:
    """Compile a module; good code is kept in the cache."""
    if level == FAST:
        return Library(_compile(ir, level), names)
    library = load_cached(ir, names)
    if library is None:
        code = _compile(ir, level)
        write(cache_file(ir), code)
        library = Library(code, names)
    return library


def load_kept(key: str, names: tuple[str, ...], ir: Callable[[], str]) -> Library:
    """Good code of a module that is written only if the cache has nothing for the key."""
    file = cache_file(key)
    code = read(file)
    if code is None:
        code = _compile(ir(), GOOD)
        write(file, code)
    return Library(code, names)


def load_cached(ir: str, names: tuple[str, ...]) -> Library | None:
    """The good code of a module if the cache has it."""
    code = read(cache_file(ir))
    if code is None:
        return None
    try:
        return Library(code, names)
    except RuntimeError:  # written by a version that had other ideas of what to keep
        return None


# --------------------------------------------------------------------------- compiling


@cache
def _host() -> tuple[str, str]:
    """Name and features of this machine's processor."""
    features: str = llvm.get_host_cpu_features().flatten()
    return llvm.get_host_cpu_name(), features


@cache
def _machine(level: int) -> Any:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = _host()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features, opt=level, reloc="pic", codemodel="default"
    )


@cache
def _jit() -> Any:
    # JITLink puts all parts of a library into one place. With LLVM's older linker they must happen
    # to be within 2 GiB of each other, and a process that maps as much memory is aborted
    return llvm.create_lljit_compiler(_machine(2), use_jit_link=True)


def _compile(ir: str, level: int, machine: Any = None) -> bytes:
    machine = machine or _machine(level)
    module = llvm.parse_assembly(ir)
    module.verify()
    if level != FAST:
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(level))
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        # a few passes: all that LLVM offers take four times as long and gain nothing here
        passes.add_sroa_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        # loops over the words of a state
        passes.add_loop_rotate_pass()
        passes.add_loop_unroll_pass()
        passes.add_instruction_combine_pass()
        passes.add_simplify_cfg_pass()
        passes.run(module, builder)
    code: bytes = machine.emit_object(module)
    return code


def kept_coroutines(text: str) -> bytes | None:
    """Good code of a module with coroutines, if the cache has it."""
    return read(cache_file(text))


def compile_coroutines(text: str, level: int) -> bytes:
    """Code of a module with coroutines, which need LLVM's own pipeline; good code is kept."""
    machine = _machine(level)
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(level))
    builder.getModulePassManager().run(module, builder)
    code = bytes(machine.emit_object(module))
    if level == GOOD:
        write(cache_file(text), code)
    return code


# --------------------------------------------------------------------------- the cache


def cache_file(ir: str) -> Path:
    """Where what is made from a text is kept, on this processor and with this LLVM."""
    key = [llvmlite.__version__, str(llvm.llvm_version_info), *_host(), ir]
    name = hashlib.sha256("\0".join(key).encode()).hexdigest()
    return cache_folder() / "code" / name


def cache_folder() -> Path:
    """Where this user's caches are."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(root) / "shootdown"


def read(file: Path) -> bytes | None:
    """The code in a cache file; None if there is none, or not all of it.

    What is read here is executed. So a file counts only if it belongs to this user (or to root) and
    nobody else may write to it, and if it was written under its own name.
    """
    try:
        # a pipe of that name must not make anybody wait
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        content = _content(handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    head, digest, code = content[:16], content[16:48], content[48:]
    if head != _MAGIC or _digest(file, code) != digest:
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # the oldest are removed first
    return code


def _content(handle: int) -> bytes:
    """What is in a file that can be trusted, else nothing."""
    status = os.fstat(handle)
    others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISREG(status.st_mode) or others or status.st_uid not in (0, os.geteuid()):
        return b""
    with open(handle, "rb", closefd=False) as file:
        return file.read()


def _digest(file: Path, code: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + code).digest()


def write(file: Path, code: bytes) -> None:
    """Keep code in the cache, if that is possible at all."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix="new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(_MAGIC + _digest(file, code) + code)
            Path(temporary).replace(file)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
        if file.name < "1":  # one in sixteen is often enough
            _shrink(file.parent)


def _shrink(folder: Path) -> None:
    """Remove the oldest files until the rest is small enough."""
    files = sorted(((f.stat(), f) for f in folder.iterdir()), key=lambda p: p[0].st_mtime)
    size = sum(status.st_size for status, _ in files)
    for status, file in files:
        if size <= CACHE_BYTES:
            break
        file.unlink(missing_ok=True)
        size -= status.st_size


@cache
def sources() -> str:
    """A digest of what writes machine code: a part of the key of what it makes."""
    from importlib.resources import files  # takes milliseconds

    digest = hashlib.sha256()
    for package in ("shootdown.native", "shootdown.check.native"):
        for entry in sorted(files(package).iterdir(), key=lambda e: e.name):
            if entry.name.endswith(".py"):
                digest.update(entry.read_bytes())
    return digest.hexdigest()
