"""OpenFace's three command-line programs by name: their options, and what these mean for auparity (spec 87)."""
