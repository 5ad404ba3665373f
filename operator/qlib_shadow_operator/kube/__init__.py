"""The API server's side: documents in, documents out. The only code that talks to a cluster."""
