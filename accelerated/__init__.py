"""Faster implementations of the stages, one folder for each technology, and the pipeline that is composed of them."""
