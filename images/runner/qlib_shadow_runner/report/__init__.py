"""The HTML pages: report.html of one run, and the page that compares several.

They are made from the recorder's outputs and the run's documents alone: no network, no dataset. Only
this package imports Matplotlib, which takes seconds to load.
"""
