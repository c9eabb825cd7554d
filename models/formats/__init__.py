"""Readers and writers of OpenFace 2.2's model files, one module a format (specification: docs/formats.md)."""
