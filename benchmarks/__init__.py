"""Benchmarks of variants: workloads, timing, and the limits of the machine beside every figure."""
