"""Memory management: ``mm/`` of the kernel."""
