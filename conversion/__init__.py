"""Models of a bundle as files for other runtimes, and checks of what was exported."""
