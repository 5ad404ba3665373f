"""The classes that a workflow may name by class path: the public API, which docs/plugins.md describes.

    lightgbm      the model
    handlers      Qlib's handlers, over the array engine or over Qlib's own loader
    loader        Qlib's loader over the array engine; the handlers use it
    processors    Qlib's processors on arrays; the handlers use them
    records       Qlib's records, each with a checkpoint
    backtest      Qlib's daily backtest on arrays

`qlib_shadow_runner.workflow.class_paths` lists the classes. Everything else here is private, and so is
every module whose name begins with an underscore.
"""
