"""The GPU benchmark: ``auparity dev bench-device`` times the pipeline that stays on the device."""
