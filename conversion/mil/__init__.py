"""Core ML programs read and interpreted in NumPy, so that a package can be checked without a Mac."""
