"""Historic races on machines that are not modelled otherwise: CPUs of a hypervisor that tag what
they cache with a VMID, and devices with two levels of TLB. Machine and paths stand here.
"""

from __future__ import annotations

from shootdown.hardware.iommu import Device
from shootdown.hardware.machine import AddressSpace, Cpu, Frame, Page, Pte, TlbEntry
from shootdown.hardware.tlb import cached
from shootdown.lang import (
    READ_ONCE,
    WRITE_ONCE,
    Array,
    Hardware,
    Object,
    RwSem,
    Setup,
    Thread,
    atomic,
    atomic_dec,
    atomic_inc,
    choose,
    counter,
    event,
    goal,
    invariant,
    note,
    path,
    ranged,
    rule,
    smp_mb,
    smp_rmb,
    smp_wmb,
    this,
    wait_until,
    when,
    xchg,
)
from shootdown.races.x1_elsewhere import race

# ------------------------------------------------------------------ KVM-VMID-GEN

VMIDS = 2
"""The host has VMID 0, guests have 1 to VMIDS."""


class Vm(Object, show="VM{}"):
    """``struct kvm_arch``: the VMID, in ``vttbr`` beside the page table, and the generation that it
    is of."""

    vmid_gen: int = ranged(0, 2)
    vttbr: int = ranged(0, VMIDS)


class HypCpu(Object, show="CPU{}"):
    """A CPU that runs guests. ``vttbr`` is what VTTBR_EL2 has; ``call`` an interrupt that
    ``smp_call_function_many()`` has sent and that it has not taken."""

    irq_on: bool = True
    guest: Vm | None = None
    vttbr: int = ranged(0, VMIDS)
    call: bool = False


class Host(Object):
    """``kvm_vmid_gen``, ``kvm_next_vmid``, ``kvm_vmid_lock``."""

    vmid_gen: int = counter(0, 2)
    next_vmid: int = ranged(0, VMIDS)
    vmid_lock: RwSem


HOST = Host(0)


@rule(fair=True, show="{cpu} takes the call")
def take_call(cpu: HypCpu) -> None:
    """An interrupt is taken while interrupts are on, and makes a guest exit at once, also if it was
    sent before the guest was entered (ARM D1, HCR_EL2.IMO)."""
    when(cpu.call and (cpu.irq_on or cpu.guest is not None))
    if cpu.guest is not None:
        note("the guest exits")
        cpu.guest = None
        cpu.irq_on = True
    cpu.call = False


@atomic(show="smp_call_function_many()")
def call_others(me: HypCpu) -> None:
    """Interrupt all others."""
    for cpu in HypCpu:
        cpu.call = cpu != me


@path(show="force_vm_exit()", role="ack")
def force_vm_exit() -> None:
    """Return when every CPU was outside of a guest."""
    call_others(this(HypCpu))
    for cpu in HypCpu:
        if cpu != this(HypCpu):
            wait_until(not cpu.call)


@path(show="need_new_vmid_gen()")
def need_new_vmid_gen(vm: Vm) -> bool:
    """Whether the VM's VMID is of an older generation."""
    current = READ_ONCE(HOST.vmid_gen)
    smp_rmb()
    return READ_ONCE(vm.vmid_gen) != current


@path
def new_vmid(vm: Vm, *, publish: str) -> None:
    """The next VMID, with the lock held. When all are used up a new generation begins: no guest may
    go on with an old VMID, and what is cached under all of them goes. ``publish``: whether the
    VM's generation is stored first, or after ``vttbr``."""
    vmid = READ_ONCE(HOST.next_vmid)
    if vmid == 0:
        atomic_inc(HOST.vmid_gen)
        vmid = 1
        force_vm_exit()
        event("__kvm_flush_vm_context()")
    if publish == "first":
        WRITE_ONCE(vm.vmid_gen, READ_ONCE(HOST.vmid_gen))
    WRITE_ONCE(HOST.next_vmid, (vmid + 1) % (VMIDS + 1))
    WRITE_ONCE(vm.vttbr, vmid)
    if publish == "last":
        smp_wmb()
        WRITE_ONCE(vm.vmid_gen, READ_ONCE(HOST.vmid_gen))


@path(show="update_vttbr()")
def update_vttbr(vm: Vm, *, publish: str) -> None:
    """Take a VMID of this generation, unless another vCPU of the VM has done it meanwhile. The
    first look is with the lock where that was meant to help, and without it since."""
    if publish == "first":
        with HOST.vmid_lock.read():
            old = need_new_vmid_gen(vm)
    else:
        old = need_new_vmid_gen(vm)
    if old:
        with HOST.vmid_lock.write():
            if need_new_vmid_gen(vm):
                new_vmid(vm, publish=publish)


@atomic(show="local_irq_disable()")
def irqs_off(cpu: HypCpu) -> None:
    """No call is taken until the guest is entered."""
    cpu.irq_on = False


@atomic(show="local_irq_enable()")
def irqs_on(cpu: HypCpu) -> None:
    """Calls are taken."""
    cpu.irq_on = True


@atomic(show="__kvm_vcpu_run()")
def enter_guest(cpu: HypCpu, vm: Vm) -> None:
    """Load VTTBR_EL2, run the guest."""
    cpu.vttbr = vm.vttbr
    cpu.guest = vm


@path(show="kvm_arch_vcpu_ioctl_run()")
def run_vcpu(vm: Vm, *, publish: str) -> None:
    """virt/kvm/arm/arm.c: the generation is looked at once more with interrupts off, and without
    the lock of f0cf47d939d0 (4.17)."""
    cpu = this(HypCpu)
    while True:
        update_vttbr(vm, publish=publish)
        irqs_off(cpu)
        if not need_new_vmid_gen(vm):
            break
        irqs_on(cpu)
    enter_guest(cpu, vm)


@invariant("INV-TAG")
def one_vm_each() -> bool:
    """Two VMs run at the same time under one VMID."""
    return not any(
        one.guest is not None
        and other.guest is not None
        and one.guest != other.guest
        and one.vttbr == other.vttbr
        for one in HypCpu
        for other in HypCpu
    )


@goal("both VMs have VMIDs of the new generation")
def both_run() -> bool:
    """They run at the same time."""
    return all(vm.vmid_gen == 2 and any(cpu.guest == vm for cpu in HypCpu) for vm in Vm)


@atomic
def vmids_used_up() -> None:
    """The first VM has a VMID of this generation, of which none is left; the other VM has none."""
    Vm(0).vttbr = 1
    Vm(0).vmid_gen = 1
    HOST.vmid_gen = 1


HYPERVISOR = Hardware(
    "arm64 EL2",
    rules=(take_call,),
    assumptions=(
        "an interrupt makes a guest exit, also one that was sent before the guest was entered",
        "what a guest caches is tagged with the VMID in VTTBR_EL2",
    ),
)


def vmids(publish: str, *, safe: bool) -> Setup:
    """Two vCPUs of one VM; the vCPU of another VM begins a generation."""
    return Setup(
        sizes={HypCpu: 3, Vm: 2, Host: 1},
        start=vmids_used_up,
        threads=[Thread(run_vcpu, Vm(c // 2), publish=publish, on=HypCpu(c)) for c in range(3)],
        hardware=HYPERVISOR,
        invariants=[one_vm_each],
        goals=[both_run] if safe else [],
    )


KVM = (
    race(
        "KVM-VMID-GEN",
        "the VM's generation is stored before its VMID: a vCPU enters with the old one (2018)",
        vmids("first", safe=False),
        "INV-TAG",
    ),
    race(
        "KVM-VMID-GEN.fixed",
        "the VMID first (KVM: arm/arm64: Fix VMID alloc race by reverting to lock-less)",
        vmids("last", safe=True),
    ),
)

# ------------------------------------------------------------------ SMMU-ATS-COUNT


class SmmuDomain(AddressSpace, show="domain{}"):
    """``struct arm_smmu_domain``: a page table, and how many devices that use it have an ATC."""

    nr_ats_masters: int = counter(0, 2)


class AtsDevice(Device):
    """A device, what the SMMU has cached for it (``iotlb``), and what itself has cached (``atc``),
    if it may (``ats``). ``ats_enabled`` is what the driver has noted (``master->ats_enabled``)."""

    atc: Array[Page, set[TlbEntry]]
    ats: bool = False
    ats_enabled: bool = False


@rule(show="SMMU TLB fill of {page} for {device}")
def smmu_fill(device: AtsDevice, page: Page) -> None:
    """The SMMU may load any valid descriptor of the domain at any time."""
    domain = device.attached
    when(domain is not None)
    if domain is not None:
        pte = domain.pte[page]
        when(pte.present and cached(pte) not in device.iotlb[page])
        device.iotlb[page].add(cached(pte))


@rule(show="{device} asks for {page}")
def atc_fill(device: AtsDevice, page: Page) -> None:
    """A device may ask for a translation at any time; the SMMU may answer from its own TLB (PCI
    Express ATS; Arm SMMUv3 3.9)."""
    when(device.ats)
    entry = choose(device.iotlb[page])
    when(entry not in device.atc[page])
    device.atc[page].add(entry)


@atomic(show="CMD_TLBI, CMD_SYNC", role="flush")
def tlbi_sync(domain: SmmuDomain) -> None:
    """The SMMU forgets; devices do not."""
    for device in AtsDevice:
        if device.attached == domain:
            for page in Page:
                device.iotlb[page] = set()


@atomic(show="CMD_ATC_INV, CMD_SYNC", role="flush")
def atc_inv(domain: SmmuDomain) -> None:
    """Devices of the domain forget."""
    for device in AtsDevice:
        if device.attached == domain and device.ats_enabled:
            for page in Page:
                device.atc[page] = set()


@path(show="arm_smmu_atc_inv_domain()")
def arm_smmu_atc_inv_domain(domain: SmmuDomain) -> None:
    """Nothing to do if no device of the domain has an ATC (cdb8a3c34670)."""
    smp_mb()
    if READ_ONCE(domain.nr_ats_masters) == 0:
        note("no ATS")
    else:
        atc_inv(domain)


@atomic(show="free the page")
def free_page(frame: Frame) -> None:
    """It is somebody else's from here on."""
    assert not any(
        entry.frame == frame
        for device in AtsDevice
        for page in Page
        for entry in device.atc[page] | device.iotlb[page]
    ), "INV-UAF: a frame is freed and a device can still use it"


@path(show="iommu_unmap()")
def iommu_unmap(domain: SmmuDomain, page: Page, *, order: str) -> None:
    """Unmap, invalidate, free. ``order``: the SMMU's TLB before those of devices, or after."""
    pte = xchg(domain.pte[page], Pte())
    if order == "device-first":
        arm_smmu_atc_inv_domain(domain)
        tlbi_sync(domain)
    else:
        tlbi_sync(domain)
        arm_smmu_atc_inv_domain(domain)
    free_page(pte.frame)


@atomic(show="write STE")
def install_ste(device: AtsDevice, domain: SmmuDomain) -> None:
    """The device uses another page table; what was cached for it is invalidated."""
    device.attached = domain
    for page in Page:
        device.iotlb[page] = set()
        device.atc[page] = set()


@atomic(show="pci_enable_ats()")
def pci_enable_ats(device: AtsDevice) -> None:
    """The device may cache from here on."""
    device.ats = True


@path(show="arm_smmu_attach_dev()")
def arm_smmu_attach_dev(
    device: AtsDevice, old: SmmuDomain, new: SmmuDomain, *, counts: str
) -> None:
    """A device without ATS moves to a domain in which it has it. ``counts``: whether it is taken
    out of the old domain's count if it was in it (``old``), or if it is in the new one's."""
    was = READ_ONCE(device.ats_enabled)
    atomic_inc(new.nr_ats_masters)
    install_ste(device, new)
    WRITE_ONCE(device.ats_enabled, True)
    pci_enable_ats(device)
    if counts == "new" or was:
        atomic_dec(old.nr_ats_masters)


@goal("a device has a page cached that is unmapped")
def stale_atc() -> bool:
    """The invalidation is still to come."""
    return any(
        device.atc[page] and not SmmuDomain(0).pte[page].present
        for device in AtsDevice
        for page in Page
    )


@atomic
def one_with_ats() -> None:
    """Two devices use one domain, one of them with ATS."""
    SmmuDomain(0).pte[Page(0)] = Pte(
        present=True, writable=True, accessed=True, dirty=True, frame=Frame(0)
    )
    for device in AtsDevice:
        device.attached = SmmuDomain(0)
    AtsDevice(0).ats = True
    AtsDevice(0).ats_enabled = True
    SmmuDomain(0).nr_ats_masters = 1


SMMU = Hardware(
    "SMMUv3 with ATS",
    rules=(smmu_fill, atc_fill),
    assumptions=(
        "the SMMU may load any present PTE at any time, and keeps it until it is told",
        "a device with ATS may cache at any time what the SMMU has cached",
    ),
)


def unmapping(counts: str, order: str = "smmu-first") -> Setup:
    """A page is unmapped while the device without ATS moves to another domain."""
    move = (AtsDevice(1), SmmuDomain(0), SmmuDomain(1))
    return Setup(
        sizes={Cpu: 2, Page: 1, Frame: 1, SmmuDomain: 2, AtsDevice: 2},
        start=one_with_ats,
        threads=[
            Thread(iommu_unmap, SmmuDomain(0), Page(0), order=order, on=Cpu(0)),
            Thread(arm_smmu_attach_dev, *move, counts=counts, on=Cpu(1)),
        ],
        hardware=SMMU,
        goals=[stale_atc],
    )


ATS = (
    race(
        "SMMU-ATS-COUNT",
        "a device that had no ATC is taken out of the count: another one's is not invalidated",
        unmapping("new"),
        "INV-UAF",
    ),
    race(
        "SMMU-ATS-COUNT.order",
        "the device's TLB is invalidated before the SMMU's, and filled from it again",
        unmapping("old", "device-first"),
        "INV-UAF",
    ),
    race(
        "SMMU-ATS-COUNT.fixed",
        "what counts is what the device had (685ca577b408)",
        unmapping("old"),
    ),
)
