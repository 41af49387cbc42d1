"""Kernels of our own for NVIDIA GPUs, in Triton: those for which torch needs several passes over the memory.

Triton compiles them on the user's machine, which needs a C compiler and the headers of Python. `find.find_kernels` says
whether they work; without them the same results, up to rounding, come from torch's operations.
"""
