"""The embedded bundle against the ground truth of rendered faces that its training never saw."""
