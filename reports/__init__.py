"""Reports: what the pipeline measured, to look at. Reads result files; imports no pipeline."""
