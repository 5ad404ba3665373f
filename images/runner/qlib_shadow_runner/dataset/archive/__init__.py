"""A dataset that comes as one file: fetching it, and taking the data out of it, trusting neither."""
