"""Engines that carry jobs, one clip or image each, through a pipeline: one after the other, or several at a time."""
