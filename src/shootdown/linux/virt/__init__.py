"""virt/."""
