"""Scheduled runs: what the Job of a CronJob does. `python -m qlib_shadow_operator.schedule` creates one run.

The CronJob decides when. This package decides what is created, how many runs at a time, and how many are
kept. It neither uses kopf nor needs the operator to run.
"""
