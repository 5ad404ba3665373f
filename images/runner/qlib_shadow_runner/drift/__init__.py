"""Drift and decay of a model: numpy alone, no files but the thresholds of this package.

bins          values as counts, by day and bin
distance      how far windows of days are from a reference
measure       the drift of features, scores and turnover, in units of their own past
summary       what a training leaves of its features, for the nights that keep the model
decay         a sequential test of the live IC against the promised one
thresholds    the limits, which a simulation has found
"""
