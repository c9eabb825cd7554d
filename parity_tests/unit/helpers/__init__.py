"""What several tests use: factories of models and files, fakes, servers."""
