"""A run folder: its holder, its request, its result, its MLflow run; and the list of all runs."""
