"""How fast variants are: workloads, timing, and the machine's own limits beside every figure."""
