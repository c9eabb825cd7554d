"""Stages as Core ML programs."""
