"""Stages as TensorRT engines."""
