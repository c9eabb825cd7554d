"""Reports of one clip: its table, its page, charts and overlay video. Reads files; imports no pipeline."""
