"""`qlib-shadow ui`: web pages that show the runs on a volume and change nothing.

Knows the run folders and the catalog. Nothing is ever written: only GET and HEAD are answered. A file is read
only if it is in a list of the existing files; a path from a request is never opened.
"""
