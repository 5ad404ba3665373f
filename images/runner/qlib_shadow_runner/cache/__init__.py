"""A size-limited, content-addressed cache on the shared volume. Imports no Qlib.

places      its folder and size limit, and the environment variables that set both
store       one folder per entry: verified when read, published by rename, removed by age
content     the description of an entry: the hashes of its files
key         the key of a matrix: data, request, code of the engine, versions, machine
matrices    finished feature matrices in the store
"""
