"""The user's own daily bars, from Parquet or CSV into Qlib's binary layout, without a loop over rows.

    files -> columns -> parts (one per file) -> bars -> grid -> adjusted columns -> features/*.day.bin

`options` and `files` are standard library only, for the many moments when nothing has to be built;
`ingest` is the way in to the rest. Which file and which options is the source's to say.
"""
