"""Spans and wide integers in LLVM's text."""

from __future__ import annotations

from collections.abc import Iterator

SPANS = """\
define internal i64 @hull(i64 %a, i64 %b) alwaysinline {
  %anone = icmp eq i64 %a, 0
  %bnone = icmp eq i64 %b, 0
  %alow = and i64 %a, 4294967295
  %blow = and i64 %b, 4294967295
  %aend = lshr i64 %a, 32
  %bend = lshr i64 %b, 32
  %l = call i64 @llvm.umin.i64(i64 %alow, i64 %blow)
  %e = call i64 @llvm.umax.i64(i64 %aend, i64 %bend)
  %high = shl i64 %e, 32
  %both = or i64 %high, %l
  %x = select i1 %bnone, i64 %a, i64 %both
  %y = select i1 %anone, i64 %b, i64 %x
  ret i64 %y
}
define internal i64 @span_and(i64 %a, i64 %b) alwaysinline {
  %alow = and i64 %a, 4294967295
  %blow = and i64 %b, 4294967295
  %aend = lshr i64 %a, 32
  %bend = lshr i64 %b, 32
  %l = call i64 @llvm.umax.i64(i64 %alow, i64 %blow)
  %e = call i64 @llvm.umin.i64(i64 %aend, i64 %bend)
  %high = shl i64 %e, 32
  %both = or i64 %high, %l
  %some = icmp ult i64 %l, %e
  %y = select i1 %some, i64 %both, i64 0
  ret i64 %y
}
define internal i64 @span_sub(i64 %a, i64 %b) alwaysinline {
  %alow = and i64 %a, 4294967295
  %blow = and i64 %b, 4294967295
  %aend = lshr i64 %a, 32
  %bend = lshr i64 %b, 32
  %under = icmp ule i64 %blow, %alow
  %over = icmp uge i64 %bend, %aend
  %low = select i1 %under, i64 %bend, i64 %alow
  %end = select i1 %over, i64 %blow, i64 %aend
  %nlow = call i64 @llvm.umax.i64(i64 %low, i64 %alow)
  %nend = call i64 @llvm.umin.i64(i64 %end, i64 %aend)
  %high = shl i64 %nend, 32
  %both = or i64 %high, %nlow
  %some = icmp ult i64 %nlow, %nend
  %y = select i1 %some, i64 %both, i64 0
  ret i64 %y
}
define internal i64 @in_span(i64 %a, i64 %x) alwaysinline {
  %low = and i64 %a, 4294967295
  %end = lshr i64 %a, 32
  %over = icmp uge i64 %x, %low
  %under = icmp ult i64 %x, %end
  %in = and i1 %over, %under
  %r = zext i1 %in to i64
  ret i64 %r
}
declare i64 @llvm.umin.i64(i64, i64)
declare i64 @llvm.umax.i64(i64, i64)
declare token @llvm.coro.id(i32, ptr, ptr, ptr)
declare i64 @llvm.coro.size.i64()
declare ptr @llvm.coro.begin(token, ptr)
declare i8 @llvm.coro.suspend(token, i1)
declare void @llvm.coro.end(ptr, i1, token)
"""
"""Spans as ranges: what is taken away from the middle of one stays (the hull of the rest)."""


def wide_declarations(widths: Iterator[int]) -> str:
    """Declarations for the wide integers that are in use."""
    lines = []
    for bits in sorted(set(widths)):
        if bits != 64:
            lines.append(f"declare i{bits} @llvm.ctpop.i{bits}(i{bits})")
            lines.append(f"declare i{bits} @llvm.cttz.i{bits}(i{bits}, i1)")
    return "\n".join(lines)
