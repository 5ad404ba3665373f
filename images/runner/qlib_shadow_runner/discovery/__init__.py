"""What the manifest leaves to `auto`, found in the dataset and never guessed: market, benchmark, segments."""
