"""Episodes as files of other programs: ELAN, subtitles, BIDS. Each is made by the standard library alone."""
