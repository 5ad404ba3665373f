"""Access to the API server: documents in, documents out. No other package talks to a cluster."""
