"""The quality of a dataset: findings counted once when it is built, assessed by each run's policy.

`survey` counts with numpy while the files are verified, `assess` applies the policy with the standard
library in every run, and `policy` reads the spec. Nothing here changes data.
"""
