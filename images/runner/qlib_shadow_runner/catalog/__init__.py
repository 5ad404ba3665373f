"""One table over all runs, and one over all their signals: made from the run folders, never instead of them.

    <artifacts>/catalog/runs.parquet       a row for each run folder
    <artifacts>/catalog/followup.parquet   what became of signals whose outcome the run could not know

Both are thrown away and made again without loss as long as the run folders are there.
"""
