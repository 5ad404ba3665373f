"""Qlib's daily backtest, the same to the last bit, without a search in pandas for every price.

    panel         quotes as arrays, one row a day and one column an instrument
    exchange      Qlib's exchange, asking the panel
    strategy      Qlib's TopkDropoutStrategy, ranking on arrays
    signal        the scores of each day, and pandas' order of them
    bookkeeping   what the account keeps of each day
    executor      Qlib's executor, with that account
    correlation   the correlation of two series on each day
    records       the analysis of the signals, with that

What is traded, at what price and cost, is decided by Qlib's own code; replaced is only how it finds what it
decides by. Each class is named in a workflow by class path, takes what Qlib's takes, and leaves what it does
not know to it.
"""
