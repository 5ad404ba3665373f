"""An array engine that computes Qlib's expressions, bit for bit, in a fraction of the time. Imports no Qlib.

    expressions   Qlib's expression syntax as a tree, and which operators are computed here
    layout        which days each instrument has; all instruments lie on one flat array
    bins          the dataset's binary files
    kernels       compiled loops, where pandas has no fast one
    running       pandas' running sums as compiled loops that can continue from a saved state
    compiling     where numba keeps the compiled loops; `python -m qlib_shadow_runner.engine` fills it
    windows       rolling operators over the flat array
    memory        the days for which each part is computed, and the saved state of its running sums
    evaluate      one expression over all instruments
    inputs        the files from which a matrix is computed, and their hashes
    growth        which part of an earlier matrix is still valid when the dataset has gained days
    matrix        many expressions over all instruments: rows, columns, threads

docs/decisions/0014 explains why the bits are equal.
"""
