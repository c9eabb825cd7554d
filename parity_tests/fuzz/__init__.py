"""Mutated input for everything that reads files: ``auparity dev fuzz --count 1000 --seed 1``.

Whatever a file holds, its reader gives a value or raises an `AuparityError`. Another exception, a crash, a hang, or
more memory than `runner.MEMORY` beyond what the process had before is a finding. Inputs follow from the seed, the
reader's name and the number of the case, so that every finding can be repeated.
"""
