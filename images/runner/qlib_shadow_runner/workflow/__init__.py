"""The workflow that qrun is given: rendered from a template, vetted, and hashed."""
