"""The cost of a report, compared with the same charts drawn directly with pandas and Matplotlib."""
