"""What a person looks at: report.html of one run, and the page that compares several.

Made from the recorder's outputs and the run's documents, and from nothing else: no network, no dataset. Only
this package imports Matplotlib and empyrical, which take seconds to load.
"""
