"""`qlib-shadow ui`: pages to look at runs with, made from the volume alone. They change nothing.

Knows the run folders and the catalog. There is no path that writes: only GET and HEAD are answered, and
whatever is read is chosen from a list of what is there, never by a path that came from outside.
"""
