"""What threads of a workload do in user space, and how they get into the kernel."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.lang import path
from shootdown.linux.arch.x86.switch import switch_to_task
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.linux.mm.memory import handle_anonymous_fault
from shootdown.linux.mm_types import Mm, Pages
from shootdown.linux.user import read_page, write_page
from shootdown.workloads.externs import compute, spend


@path
def enter(mm: Mm) -> None:
    """The thread is scheduled on its CPU."""
    switch_to_task(cast(ContextMm, mm))


@path(show="system call")
def system_call() -> None:
    """Into the kernel and back."""
    spend("kernel_entry", 1)


@path(show="page fault")
def anonymous_fault(mm: Mm, page: Page) -> None:
    """A page fault on anonymous memory that was never touched: a zeroed page."""
    spend("page_fault", 1)
    handle_anonymous_fault(mm, page)
    spend("clear_page", 1)


@path
def touch(mm: Mm, page: Page) -> None:
    """Write to a page, which is mapped by a fault if it is not."""
    if write_page(mm, page) is None:
        anonymous_fault(mm, page)
        write_page(mm, page)


@path
def look(mm: Mm, page: Page) -> None:
    """Read a page that is mapped."""
    read_page(mm, page)


@path
def touch_all(mm: Mm, pages: Pages) -> None:
    """Write to each page."""
    for page in pages:
        touch(mm, page)


@path(show="spin")
def spin(mm: Mm) -> None:
    """Run in user space for ever, without memory."""
    enter(mm)
    while True:
        compute(1000)
