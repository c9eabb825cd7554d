"""Rendered faces with known truth, and the training that makes the embedded bundle from them."""
