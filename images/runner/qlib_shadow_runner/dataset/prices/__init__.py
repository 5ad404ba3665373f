"""Convert the user's daily bars from Parquet or CSV into Qlib's binary layout, without a loop over rows.

    files -> columns -> parts (one per file) -> bars -> grid -> adjusted columns -> features/*.day.bin
             a wide file becomes a long one          other columns -> features/, instruments/

`price_files` uses only the standard library, because it runs for every run; `ingest` is the entry point to
the rest. The source chooses the files and options.
"""
