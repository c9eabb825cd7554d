"""From the results of many clips to the page of a study: tables are read once, and only their figures are kept."""
