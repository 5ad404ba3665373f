"""What a workflow may name by class path. This package is the public API; docs/templates.md describes it.

lightgbm        the model
handlers        Qlib's handlers over the array engine
qlib_handlers   Qlib's handlers over Qlib's own loader
loader          Qlib's loader over the array engine
processors      Qlib's processors on arrays
records         Qlib's records, each with a checkpoint
backtest        Qlib's daily backtest on arrays
lightgbm_bins, learned, features_report   parts of the above
"""
