"""The page of a study: quality, action units by group, and what stands out, of the results of many clips."""
