"""Architecture code: ``arch/`` of the kernel."""
