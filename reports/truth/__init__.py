"""How measurements are judged against ground truth: definitions of the metrics, and targets. Knows no pipeline."""
