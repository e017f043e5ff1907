"""Machine code from LLVM IR text, with a cache of compiled code on disk."""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from shootdown.native import cache as disk
from shootdown.native.cache import cache_folder, kept_file, name_of, read, write

__all__ = [
    "FAST",
    "GOOD",
    "Library",
    "cache_file",
    "cache_folder",
    "compile_coroutines",
    "compiled",
    "kept_coroutines",
    "load",
    "load_cached",
    "load_file",
    "load_kept",
    "quick_coroutines",
    "read",
    "sources",
    "write",
]

_serial = count()


class Library:
    """Compiled functions; they live as long as this object."""

    def __init__(self, code: bytes, names: tuple[str, ...]) -> None:
        builder = llvm.JITLibraryBuilder().add_object_img(code)
        for name in names:
            builder.export_symbol(name)
        self._tracker = builder.link(_jit(), f"shootdown{next(_serial)}")
        self.addresses: dict[str, int] = {name: self._tracker[name] for name in names}
        self.memory: object = None  # that the code has been given


FAST, GOOD = 0, 2
"""Levels: compile fast, or make good code."""


def load(ir: str, names: tuple[str, ...], level: int) -> Library:
    """Compile a module; good code is kept in the cache."""
    if level == FAST:
        return Library(compiled(ir, level), names)
    return load_kept(ir, names, lambda: ir)


def load_kept(key: str, names: tuple[str, ...], ir: Callable[[], str]) -> Library:
    """Good code of a module that is written only if the cache has nothing for the key."""
    library = load_cached(key, names)
    if library is None:
        code = compiled(ir(), GOOD)
        write(cache_file(key), code)
        library = Library(code, names)
    return library


def load_cached(key: str, names: tuple[str, ...]) -> Library | None:
    """The good code of a module, which is the key if it has no other, if the cache has it."""
    return load_file(cache_file(key), names)


def load_file(file: Path, names: tuple[str, ...]) -> Library | None:
    """The code in a cache file, if it is there."""
    code = read(file)
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


def compiled(ir: str, level: int, machine: Any = None) -> bytes:
    """Object code of a module, for this processor unless another machine is given."""
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


def quick_coroutines(text: str) -> tuple[bytes, float]:
    """Code of a module with coroutines that is compiled fast, which is kept too; and how many
    seconds it took to make it."""
    file = cache_file(f"fast\0{text}")
    content = read(file)
    if content is not None:
        return zlib.decompress(content[8:]), struct.unpack("d", content[:8])[0]
    began = time.perf_counter()
    code = compile_coroutines(text, FAST)
    seconds = time.perf_counter() - began
    write(file, struct.pack("d", seconds) + zlib.compress(code, 1))
    return code, seconds


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
    return kept_file(name_of(llvmlite.__version__, str(llvm.llvm_version_info), *_host(), ir))


def sources() -> str:
    """A digest of what writes machine code: a part of the key of what it makes."""
    return disk.sources("native", "check/native")
