"""arm64: ``arch/arm64`` of the kernel."""
