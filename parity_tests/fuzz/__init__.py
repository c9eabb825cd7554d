"""Mutated input for everything that reads files: ``auparity dev fuzz --count 1000 --seed 1``.

For every content of a file, its reader must return a value or raise an `AuparityError`. Another exception, a crash, a
hang, or more than `runner.MEMORY` of additional memory is a finding. Inputs follow from the seed, the
reader's name and the number of the case, so that every finding can be repeated.
"""
