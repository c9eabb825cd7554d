"""The GPU benchmark: ``python -m auparity.benchmarks.device`` times the pipeline that stays on the device."""
