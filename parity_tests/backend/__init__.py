"""Tests of a variant named on pytest's command line: ``pytest --pyargs auparity.parity_tests --variant SPEC``."""
