"""Logs, metrics, health, and the endpoint that serves them."""
