"""Tables over all runs and all their signals, made from the run folders.

    <artifacts>/catalog/runs.parquet       a row for each run folder
    <artifacts>/catalog/followup.parquet   the outcomes of signals that the run's data did not have yet

Both can be deleted; they are made again from the run folders.
"""
