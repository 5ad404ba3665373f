"""Datasets in Qlib's binary layout: read, verify, build and publish them."""
