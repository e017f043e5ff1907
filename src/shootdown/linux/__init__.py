"""Kernel paths of Linux, in the modelling language, in files named after the kernel's own.

Read each beside the C of the kernel: the functions have its names and do its shared accesses in its
order. What a path leaves out is said where it would stand. Variants of a path are options
(``options.py``), never copies.
"""
