"""A size-limited, content-addressed cache on the shared volume. Imports no Qlib.

places    where it lies, its size limit, and the environment variables that set both
store     one folder per entry: verified when read, published by rename, evicted by age
key       the name of a matrix: data, question, code of the engine, versions, machine
matrices  finished feature matrices in the store
"""
