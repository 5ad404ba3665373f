"""The shadow ledger: what the signals would have done, decided by fixed rules and recorded.

Nothing here can trade: the package imports neither Qlib nor anything that opens a connection. It is pure but
for the modules that read prices (`quotes`) and that read and write a book (`chain`, `book`, `halts`).
"""
