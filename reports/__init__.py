"""Reports of measurements, parity runs and benchmarks. Reads result files; imports no pipeline."""
