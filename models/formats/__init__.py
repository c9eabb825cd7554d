"""Readers and writers of OpenFace 2.2's model files, one module for each format (described in docs/formats.md)."""
