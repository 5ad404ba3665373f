"""Datasets in Qlib's binary layout: reading, verifying, making and publishing them."""
