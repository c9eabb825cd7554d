"""The parity suite, and the unit, property and golden tests."""
