"""x86: ``arch/x86`` of the kernel."""
