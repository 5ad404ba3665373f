"""Processes of a stage: the supervisor of its children, its log, its limits and their environment."""
