"""Inputs that exported models are checked with."""
