"""What the spec leaves to `auto`, found in the dataset: market, benchmark, segments."""
