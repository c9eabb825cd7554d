"""Results of benchmarks and parity runs: their file format, and pages, Markdown, JUnit and pictures of them."""
