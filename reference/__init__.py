"""The reference pipeline: OpenFace 2.2 in NumPy, one file a stage, written to be read."""
