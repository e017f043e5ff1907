"""What threads of a workload do in user space, and how they get into the kernel."""

from __future__ import annotations

from typing import cast

from shootdown.hardware.machine import Page
from shootdown.lang import path
from shootdown.linux.arch.x86.switch import switch_to_task
from shootdown.linux.arch.x86.tlbflush import ContextMm
from shootdown.linux.mm.memory_wp import handle_mm_fault
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
def page_fault(mm: Mm, page: Page) -> None:
    """A write fault on anonymous memory: a zeroed page, or a copy."""
    spend("page_fault", 1)
    if handle_mm_fault(mm, page):
        spend("copy_page", 1)
    else:
        spend("clear_page", 1)


@path
def touch(mm: Mm, page: Page) -> None:
    """Write to a page; a page fault if that is not possible."""
    if write_page(mm, page) is None:
        page_fault(mm, page)
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
