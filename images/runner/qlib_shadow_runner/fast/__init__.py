"""Qlib's features, the same to the last bit, in a fraction of the time.

    expressions   Qlib's expression syntax as a tree; what is not understood is left to Qlib
    layout        which days each instrument has, all instruments on one flat array
    bins          the dataset's files, read as they are
    kernels       compiled loops where pandas has none that is fast
    compiling     where what was compiled is kept
    running       pandas' running sums, compiled, which go on where they were left
    windows       rolling operators over the flat array
    memory        from which day on each part is computed, and what its sums remember of the days before
    evaluate      one expression over all instruments
    matrix, rows  many expressions over all instruments: rows, columns, threads
    shelf         costly things on the volume: found whole or not at all, within a limit
    key, cache    finished matrices on it, and what they are named by
    inputs        the files that a matrix is made of
    growth        what of a matrix is still true when the dataset has gained days
    places        where they lie, and the variables that say so
    report        what the log and the run's metadata say of it
    loader        what Qlib calls, by class path: the loader
    handler       the handlers that use it
    mapped        letting go of files that are mapped into memory
    learned       what a model learns from, not copied before somebody asks
    binned        LightGBM's datasets, binned once
    processors    Qlib's processors without a step in pandas for each day
    backtest      the same for the backtest

What is computed Qlib's classes say; docs/decisions/0014 says why the bits are equal.
"""
