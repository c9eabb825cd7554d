"""Many clips, or one long one, over processes; one stream over two threads."""
