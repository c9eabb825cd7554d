"""A variant of one stage of auparity."""
