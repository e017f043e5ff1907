"""What is priced: machines for the kernel's paths, and workloads that run them."""
