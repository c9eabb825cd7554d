"""Training of the embedded bundle on rendered faces."""
