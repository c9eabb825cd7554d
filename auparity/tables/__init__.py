"""Tables of faces in Python: their columns, data frames, resampling, episodes, and the files that they become.

`columns.py` is the dictionary of all columns, from which everything else takes their names, types, decimals and units.
"""
