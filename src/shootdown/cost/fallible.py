"""Operations of the runtime that can fail, and what is wrong then."""

from __future__ import annotations

FALLIBLE = {
    "take_frame": "there is no free frame left: give the workload more of them",
    "give_frame": "more frames are given back than there are",
    "give_frame_last": "more frames are given back than there are",
    "random": "there is nothing to choose from, or more than 2,147,483,648 possibilities",
    "compute": "time passes backwards here, or for more than 36 years",
    "spend": "a price is spent less than 0 times here, or far too often",
    "send_ipis": "more calls wait in the queue of a CPU than there are CPUs",
    "tlb_lookup": "a TLB here has at most 64 tags (PCIDs)",
    "tlb_insert": "a TLB here has at most 64 tags (PCIDs)",
    "tlb_drop_tag": "a TLB here has at most 64 tags (PCIDs)",
    "push": "a list has more than 32,767 elements",
    "list_top": "the lists of a thread have more than 32,767 elements together",
    "list_rest": "the lists of a thread have more than 32,767 elements together",
    "list_has": "the lists of a thread have more than 32,767 elements together",
}
