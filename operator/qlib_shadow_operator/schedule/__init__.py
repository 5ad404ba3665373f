"""Runs by the clock: what a CronJob's Job does. `python -m qlib_shadow_operator.schedule` makes one run.

The CronJob knows when; this knows what, how many at a time, and how many are kept. It is not kopf's and does
not need the operator to be up.
"""
