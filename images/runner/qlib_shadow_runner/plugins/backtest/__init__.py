"""Qlib's daily backtest with the same bits, without a pandas lookup for every price.

    strategy        Qlib's TopkDropoutStrategy, ranking on arrays
    executor        Qlib's executor, with a faster account
    exchange        Qlib's exchange, over a panel of quotes
    records         the analysis of the signals, with correlations on arrays
    _scores         the scores of each day, and pandas' order of them
    _panel          quotes as arrays, one row a day and one column an instrument
    _bookkeeping    the account's positions and figures of each day

Qlib's own code decides what is traded, at what price and cost; only how it finds the inputs of its decisions
is replaced. Each class takes the arguments of Qlib's class of the same name, and leaves unsupported cases to
it.
"""
