"""Many inputs over the machines of a Ray cluster, or over a local Ray (``auparity extract --engine ray``)."""
