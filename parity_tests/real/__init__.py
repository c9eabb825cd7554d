"""A bundle on real footage, compared with what OpenFace recorded on the same pictures."""
