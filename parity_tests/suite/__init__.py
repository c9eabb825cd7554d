"""The parity suite: any variant against the reference, stage by stage and over whole clips."""
