"""The landmark validator of the embedded bundle: network and samples."""
