"""From inputs to tables (`auparity extract`): inputs, engines that measure them, tables and sidecars."""
