"""Faster implementations of the stages, one folder a technology, and the pipeline that is put together from them."""
