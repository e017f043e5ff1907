"""System X1: who must be told, and what switch_mm() owes."""

from __future__ import annotations

from models.excuses import Excuse, Kind

X1 = (
    Excuse(
        "should_flush_tlb: smp_rmb()",
        "X1.current.lazy X1.current.lazy-tso",
        Kind.NOT_NEEDED,
        "a CPU that is seen lazy has not yet read the generation that it will compare: "
        "X1.current.lazy-read exchanges the two loads, and is safe",
    ),
    Excuse(
        "join_mask: smp_mb()",
        "X1.current.lazy-tso X1.current.lazy-read X1.current.tables-tso",
        Kind.NOT_NEEDED,
        "only a switch to init_mm comes by, which has no user pages",
    ),
    Excuse(
        "keep_mm: smp_mb()",
        "X1.current.tables-tso",
        Kind.TWICE,
        "a page table is freed, so lazy CPUs are interrupted: they have left the mm",
    ),
    Excuse(
        "zap_pte_range: folio_remove_rmap_pte()",
        "*",
        Kind.COST,
        "a mapcount that stays too high makes rmap walks look in vain, no more",
    ),
    Excuse(
        "join_mask: smp_mb()",
        "X1.current.trimmed-tso",
        Kind.UNREACHED,
        "a CPU that is not in mm_cpumask sets its bit, which is a barrier",
    ),
    Excuse(
        "keep_mm: smp_mb()",
        "X1.current.tso X1.current.trimmed-tso X1.current.v6.13-tso X1.current.lazy-mask-tso "
        "SWITCHMM-MISORDER.fixed X1.current.invlpgb-switch-tso",
        Kind.UNREACHED,
        "no CPU is lazy (X1.current.lazy-tso has one)",
    ),
    Excuse(
        "catch_up: flush_tlb_local()",
        "X1.current X1.current.trimmed* X1.current.v6.* X1.current.lazy* X1.current.tso "
        "X1.current.tables* X1.current.recycle SWITCHMM-MISORDER.fixed POKE-LAZY.fixed*",
        Kind.UNREACHED,
        "one request, for one page (X1.current.two has two)",
    ),
    Excuse(
        """catch_up: flush_tlb_local()
        catch_up: flush_tlb_one_user()""",
        "X1.current.invlpgb*",
        Kind.UNREACHED,
        "from the first flush on there is a global ASID",
    ),
    Excuse(
        "keep_mm: smp_mb()",
        "POKE-LAZY.fixed-tso",
        Kind.UNREACHED,
        "who was lazy has left the mm before it comes back",
    ),
    Excuse(
        "ptep_get_and_clear: ipte()",
        "S390-ATTACH.fixed",
        Kind.MODEL,
        "the instruction also clears the entry: without it nothing is unmapped",
    ),
    Excuse(
        "update_vttbr: lock HOST.vmid_lock.write()",
        "KVM-VMID-GEN.fixed",
        Kind.REFUSED,
        "two vCPUs begin a generation at once, and the model counts two",
    ),
    Excuse(
        "arm_smmu_attach_dev: atomic_inc(new.nr_ats_masters)",
        "SMMU-ATS-COUNT.fixed",
        Kind.NOT_AT_STAKE,
        "nothing is unmapped from the domain that the device moves to",
    ),
    Excuse(
        "arm_smmu_attach_dev: atomic_dec(old.nr_ats_masters)",
        "SMMU-ATS-COUNT.fixed",
        Kind.UNREACHED,
        "the device that moves had no ATC",
    ),
    Excuse(
        """tlb_flush_mm: atomic_inc(mm.flush_count)
        ptep_flush_direct: atomic_inc(mm.flush_count)""",
        "S390-DETACH.fixed",
        Kind.REFUSED,
        "the count falls below zero",
    ),
    Excuse(
        """mm_context_remove_copro: atomic_dec(mm.copros)
        mm_context_remove_copro: atomic_dec(mm.active_cpus)""",
        "COPRO-LOCAL.fixed",
        Kind.REFUSED,
        "the model counts one coprocessor, which comes back",
    ),
    Excuse(
        """use_copro_twice: atomic_inc(mm.active_cpus)
        use_copro_twice: atomic_inc(mm.copros)""",
        "COPRO-LOCAL.fixed",
        Kind.NOT_AT_STAKE,
        "nothing is unmapped while the coprocessor is back",
    ),
    Excuse(
        """shrink_folio: lock folio.lock
        try_to_unmap_one: lock pte_lockptr(mm, page)""",
        "TLB-BATCH-GEN.fixed",
        Kind.NOT_AT_STAKE,
        "one reclaimer, and nobody else changes the PTE",
    ),
    Excuse(
        "set_tlb_ubc_flush_pending: mark_tlb_flush_batched()",
        "TLB-BATCH-GEN.fixed",
        Kind.NOT_AT_STAKE,
        "nobody decides anything from the empty PTE",
    ),
    Excuse(
        """ptep_clear_flush: flush_tlb_mm_range()
        catch_up: flush_tlb_one_user()
        catch_up: flush_tlb_local()
        flush_tlb_multi: wait_for_acks()""",
        "TLB-BATCH-GEN.fixed",
        Kind.UNREACHED,
        "every unmap is batched",
    ),
    Excuse(
        "try_to_unmap_one: folio_remove_rmap_pte()",
        "TLB-BATCH-GEN.fixed",
        Kind.GOAL,
        "a folio that seems to be mapped is not freed",
    ),
)
