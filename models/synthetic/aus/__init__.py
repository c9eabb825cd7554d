"""The action unit models of the embedded bundle: features, samples, support vector machines, cut-offs."""
