"""The loops that calibrate runs, as machine code for x86-64: no compiler is needed on the machine.

``drive`` times an action again and again; what an action costs is the difference between driving it
and driving ``nothing``. All loops end at a time limit by themselves: the threads that run them may
be at real-time priority, where nobody else could end them. Times are ticks of the time stamp
counter.

An action is ``void action(ptr a, i64 b, i64 c)``:

| name | |
|---|---|
| ``nothing`` | |
| ``call`` | the system call whose number and three arguments are at ``a`` (4 words) |
| ``write_pages``, ``read_pages`` | one access to every ``c``-th of ``b`` bytes at ``a`` |
| ``chase`` | ``b`` loads from ``a`` on, each of the address of the next |
| ``stores``, ``atomics``, ``fences`` | ``b`` of them, on the word at ``a`` |
| ``clear``, ``copy`` | ``b`` bytes at ``a``; copied from address ``c`` |
| ``wait`` | ``b`` ticks pass |
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

PAGE = 4096  # bytes

# Numbers of system calls are those of x86-64.
_TICKS = 'call i64 asm sideeffect "lfence; rdtsc; shlq $$32, %rdx; orq %rdx, %rax", '
_TICKS += '"={rax},~{rdx},~{memory},~{dirflag},~{fpsr},~{flags}"()'

_HEAD = f"""
define internal i64 @ticks() alwaysinline {{
  %t = {_TICKS}
  ret i64 %t
}}

define void @nothing(ptr %a, i64 %b, i64 %c) {{
  ret void
}}

define void @call(ptr %a, i64 %b, i64 %c) {{
  %nr = load i64, ptr %a
  %p1 = getelementptr i64, ptr %a, i64 1
  %p2 = getelementptr i64, ptr %a, i64 2
  %p3 = getelementptr i64, ptr %a, i64 3
  %v1 = load i64, ptr %p1
  %v2 = load i64, ptr %p2
  %v3 = load i64, ptr %p3
  %r = call i64 asm sideeffect "syscall",
    "={{rax}},{{rax}},{{rdi}},{{rsi}},{{rdx}},~{{rcx}},~{{r11}},~{{memory}},~{{dirflag}},~{{fpsr}},~{{flags}}"
    (i64 %nr, i64 %v1, i64 %v2, i64 %v3)
  ret void
}}

define void @clear(ptr %a, i64 %b, i64 %c) {{
  %words = lshr i64 %b, 3
  %r = call {{ i64, i64 }} asm sideeffect "rep stosq",
    "={{rcx}},={{rdi}},{{rcx}},{{rdi}},{{rax}},~{{memory}},~{{dirflag}},~{{fpsr}},~{{flags}}"
    (i64 %words, ptr %a, i64 0)
  ret void
}}

define void @copy(ptr %a, i64 %b, i64 %c) {{
  %words = lshr i64 %b, 3
  %r = call {{ i64, i64, i64 }} asm sideeffect "rep movsq",
    "={{rcx}},={{rdi}},={{rsi}},{{rcx}},{{rdi}},{{rsi}},~{{memory}},~{{dirflag}},~{{fpsr}},~{{flags}}"
    (i64 %words, ptr %a, i64 %c)
  ret void
}}

define void @wait(ptr %a, i64 %b, i64 %c) {{
entry:
  %begin = call i64 @ticks()
  br label %loop
loop:
  %now = call i64 @ticks()
  %past = sub i64 %now, %begin
  %more = icmp ult i64 %past, %b
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define void @chase(ptr %a, i64 %b, i64 %c) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %p = phi ptr [ %a, %entry ], [ %q, %loop ]
  %q = load volatile ptr, ptr %p
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %b
  br i1 %more, label %loop, label %done
done:
  ret void
}}

define i64 @cpuid(i64 %leaf, i64 %part, ptr %out) {{
  %l = trunc i64 %leaf to i32
  %p = trunc i64 %part to i32
  %r = call {{ i32, i32, i32, i32 }} asm sideeffect "cpuid",
    "={{eax}},={{ebx}},={{ecx}},={{edx}},{{eax}},{{ecx}},~{{dirflag}},~{{fpsr}},~{{flags}}"
    (i32 %l, i32 %p)
  store {{ i32, i32, i32, i32 }} %r, ptr %out
  ret i64 0
}}

; out: begin and end of each action, as words
define i64 @drive(ptr %out, i64 %n, i64 %limit, ptr %before, ptr %ba, i64 %bb, i64 %bc,
                  ptr %act, ptr %a, i64 %b, i64 %c) {{
entry:
  %begin = call i64 @ticks()
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  call void %before(ptr %ba, i64 %bb, i64 %bc)
  %t0 = call i64 @ticks()
  call void %act(ptr %a, i64 %b, i64 %c)
  %t1 = call i64 @ticks()
  %two = shl i64 %i, 1
  %p0 = getelementptr i64, ptr %out, i64 %two
  %p1 = getelementptr i64, ptr %p0, i64 1
  store i64 %t0, ptr %p0
  store i64 %t1, ptr %p1
  %next = add i64 %i, 1
  %room = icmp ult i64 %next, %n
  %past = sub i64 %t1, %begin
  %time = icmp ult i64 %past, %limit
  %more = and i1 %room, %time
  br i1 %more, label %loop, label %done
done:
  ret i64 %next
}}

; spins until *stop; out: begin and end of each gap of more than %gap ticks
define i64 @spin(ptr %out, i64 %n, i64 %limit, ptr %stop, ptr %started, i64 %gap) {{
entry:
  %begin = call i64 @ticks()
  store volatile i64 1, ptr %started
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %i, %look ], [ %next, %kept ], [ %i, %keep ]
  %last = phi i64 [ %begin, %entry ], [ %now, %look ], [ %after, %kept ], [ %now, %keep ]
  %now = call i64 @ticks()
  %s = load volatile i64, ptr %stop
  %long = sub i64 %now, %last
  %past = sub i64 %now, %begin
  %over = icmp ugt i64 %past, %limit
  %told = icmp ne i64 %s, 0
  %end = or i1 %over, %told
  br i1 %end, label %done, label %look
look:
  %is = icmp ugt i64 %long, %gap
  br i1 %is, label %keep, label %loop
keep:
  %room = icmp ult i64 %i, %n
  br i1 %room, label %kept, label %loop
kept:
  %two = shl i64 %i, 1
  %p0 = getelementptr i64, ptr %out, i64 %two
  %p1 = getelementptr i64, ptr %p0, i64 1
  store i64 %last, ptr %p0
  store i64 %now, ptr %p1
  %next = add i64 %i, 1
  %after = call i64 @ticks()
  br label %loop
done:
  ret i64 %i
}}

; waits until both threads are here
define internal void @both(ptr %here, i64 %limit) {{
entry:
  %begin = call i64 @ticks()
  %old = atomicrmw add ptr %here, i64 1 seq_cst
  br label %loop
loop:
  %v = load atomic i64, ptr %here acquire, align 8
  %all = icmp uge i64 %v, 2
  %now = call i64 @llvm.readcyclecounter()
  %past = sub i64 %now, %begin
  %over = icmp ugt i64 %past, %limit
  %end = or i1 %all, %over
  br i1 %end, label %done, label %loop
done:
  ret void
}}

; two threads, with turns 0 and 1, hand a line to each other; gives the ticks that it took, or 0
define i64 @bounce(ptr %line, i64 %turn, i64 %n, i64 %limit) {{
entry:
  %here = getelementptr i8, ptr %line, i64 256
  call void @both(ptr %here, i64 %limit)
  %begin = call i64 @ticks()
  br label %wait
wait:
  %i = phi i64 [ 0, %entry ], [ %i, %other ], [ %i, %look ], [ %next, %mine ]
  %tries = phi i64 [ 0, %entry ], [ %more.tries, %other ], [ %more.tries, %look ], [ 0, %mine ]
  %v = load atomic i64, ptr %line acquire, align 8
  %low = and i64 %v, 1
  %is = icmp eq i64 %low, %turn
  br i1 %is, label %mine, label %other
other:
  ; the counter is read from time to time only: that takes as long as a transfer
  %more.tries = add i64 %tries, 1
  %rest = and i64 %more.tries, 4095
  %often = icmp eq i64 %rest, 0
  br i1 %often, label %look, label %wait
look:
  %now = call i64 @llvm.readcyclecounter()
  %past = sub i64 %now, %begin
  %over = icmp ugt i64 %past, %limit
  br i1 %over, label %late, label %wait
mine:
  %w = add i64 %v, 1
  store atomic i64 %w, ptr %line release, align 8
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %wait, label %done
done:
  %end = call i64 @ticks()
  %took = sub i64 %end, %begin
  ret i64 %took
late:
  ret i64 0
}}

; a ticket lock: next at %lock, owner 128 bytes behind; each thread takes it %n times, and keeps it
; for %hold ticks, so that the other waits for it by then
define i64 @ticket(ptr %lock, i64 %hold, i64 %n, i64 %limit) {{
entry:
  %owner = getelementptr i8, ptr %lock, i64 128
  %here = getelementptr i8, ptr %lock, i64 256
  call void @both(ptr %here, i64 %limit)
  %begin = call i64 @ticks()
  br label %take
take:
  %i = phi i64 [ 0, %entry ], [ %next, %release ]
  %my = atomicrmw add ptr %lock, i64 1 seq_cst
  br label %wait
wait:
  %tries = phi i64 [ 0, %take ], [ %more.tries, %other ], [ %more.tries, %look ]
  %v = load atomic i64, ptr %owner acquire, align 8
  %is = icmp eq i64 %v, %my
  br i1 %is, label %mine, label %other
other:
  %more.tries = add i64 %tries, 1
  %rest = and i64 %more.tries, 4095
  %often = icmp eq i64 %rest, 0
  br i1 %often, label %look, label %wait
look:
  %now = call i64 @llvm.readcyclecounter()
  %past = sub i64 %now, %begin
  %over = icmp ugt i64 %past, %limit
  br i1 %over, label %late, label %wait
mine:
  call void @wait(ptr null, i64 %hold, i64 0)
  br label %release
release:
  %w = add i64 %v, 1
  store atomic i64 %w, ptr %owner release, align 8
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, %n
  br i1 %more, label %take, label %done
done:
  %end = call i64 @ticks()
  %took = sub i64 %end, %begin
  ret i64 %took
late:
  ret i64 0
}}

declare i64 @llvm.readcyclecounter()
"""

_LOOP = """
define void @{name}(ptr %a, i64 %b, i64 %c) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  {body}
  %next = add i64 %i, {step}
  %more = icmp ult i64 %next, %b
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""
_AT = "%p = getelementptr i8, ptr %a, i64 %i"
_LOOPS = {
    "write_pages": ("%c", f"{_AT}\n  store volatile i8 1, ptr %p"),
    "read_pages": ("%c", f"{_AT}\n  %v = load volatile i8, ptr %p"),
    "stores": (1, "store volatile i64 %i, ptr %a"),
    "atomics": (1, "%v = atomicrmw volatile add ptr %a, i64 1 seq_cst"),
    "fences": (
        1,
        'call void asm sideeffect "lock; addl $$0, -4(%rsp)", '
        '"~{memory},~{dirflag},~{fpsr},~{flags}"()',
    ),
}
ACTIONS = ("nothing", "call", "clear", "copy", "wait", "chase", *_LOOPS)
_LONG, _POINTER = ctypes.c_int64, ctypes.c_void_p
_LOOPERS = {
    "drive": [_POINTER, _LONG, _LONG, *[_POINTER, _POINTER, _LONG, _LONG] * 2],
    "spin": [_POINTER, _LONG, _LONG, _POINTER, _POINTER, _LONG],
    "bounce": [_POINTER, _LONG, _LONG, _LONG],
    "ticket": [_POINTER, _LONG, _LONG, _LONG],
    "cpuid": [_LONG, _LONG, _POINTER],
}


def ir() -> str:
    """The text of the module."""
    loops = [_LOOP.format(name=n, step=step, body=body) for n, (step, body) in _LOOPS.items()]
    return "\n".join([_HEAD, *loops])


class Native:
    """The compiled loops; ``address[action]`` is what ``drive`` takes."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        machine = llvm.Target.from_default_triple().create_target_machine(
            opt=2, reloc="pic", codemodel="default"
        )
        module = llvm.parse_assembly(ir())
        module.verify()
        builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(2))
        passes = llvm.create_new_module_pass_manager()
        passes.add_always_inliner_pass()
        passes.run(module, builder)
        names = (*ACTIONS, *_LOOPERS)
        library = llvm.JITLibraryBuilder().add_object_img(machine.emit_object(module))
        for name in names:
            library.export_symbol(name)
        jit = llvm.create_lljit_compiler(machine, use_jit_link=False)
        self._tracker = library.link(jit, "calibrate")
        self._jit = jit  # the code lives as long as it
        self.address: dict[str, int] = {name: self._tracker[name] for name in names}
        self._functions: dict[str, Callable[..., Any]] = {
            name: ctypes.CFUNCTYPE(_LONG, *kinds)(self.address[name])
            for name, kinds in _LOOPERS.items()
        }

    def __getattr__(self, name: str) -> Callable[..., int]:
        """``drive``, ``spin``, ``bounce``, ``ticket``, ``cpuid``; the GIL is released meanwhile."""
        try:
            function: Callable[..., int] = self.__dict__["_functions"][name]
        except KeyError:
            raise AttributeError(name) from None
        return function
