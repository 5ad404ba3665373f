"""What Qlib's recorder has pickled, as tables that have no power over a reader: `tables/` in a run folder.

    layout        the tables and their columns
    conversion    the recorder's pickles, read in a child, as tables; nothing else reads a pickle
    rebuild       tables from the bytes that the child found
    files         tables as Parquet in a run folder

Needs NumPy and Arrow; the child, in `pickles`, needs neither.
"""
