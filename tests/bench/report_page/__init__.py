"""What a report costs, beside pictures of the same that somebody draws by hand with pandas and Matplotlib."""
