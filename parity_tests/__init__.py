"""The parity suite and the unit, property and reference tests."""
