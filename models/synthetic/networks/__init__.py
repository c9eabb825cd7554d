"""What network detectors and landmarkers learn from: scenes of pasted faces, crops, losses."""
