"""What is known of the nights of each series: the facts that the morning page, snapshot and trend show.

Computed from the rows of the catalog. Nothing here reads a file or the clock; the callers pass both.
"""
