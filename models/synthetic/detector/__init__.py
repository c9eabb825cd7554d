"""The face detector of the embedded bundle: networks, samples, calibration."""
