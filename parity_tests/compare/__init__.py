"""Comparing and judging results: differences, tolerances, baselines and drift."""
