"""How two results are compared and judged: differences, tolerances, baselines and drift."""
