"""ledger.html: what people look at of a book, made from its chain alone.

It loads neither pandas nor Matplotlib, so that the stage that records a night and the web pages make it at
once.
"""
