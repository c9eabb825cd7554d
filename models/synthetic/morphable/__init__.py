"""Faces rendered from a morphable model of real people (ICT-FaceKit), which the user has as a file of their own."""
