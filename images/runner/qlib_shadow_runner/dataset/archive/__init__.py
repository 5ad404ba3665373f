"""Fetch and unpack a dataset that comes as one archive file, trusting neither server nor archive."""
