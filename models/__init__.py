"""Bundles: the weights of one pipeline, their file formats, and the store that fetches and keeps them."""
