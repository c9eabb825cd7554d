"""Outputs beside a table of `auparity extract`: HOG descriptors, aligned faces, details, overlay video (spec 80.4)."""
