"""How good a dataset is: facts counted once when it is made, and a verdict by each run's policy.

`survey` counts (numpy, while the files are read for verification anyhow), `verdict` judges (standard
library, on every run), `policy` reads what the spec says. Nothing here changes data.
"""
