"""From inputs to tables: what to measure, engines that carry it out, tables and sidecars (`auparity extract`)."""
