"""One data set out of many tables of faces: Parquet files of one schema, a table of clips, a table of failures.

Nothing is measured here: tables and sidecars in the output folders of `auparity extract` go in (docs/dataset.md).
"""
