"""The processes of a stage.

supervisor     starts and ends the stage's children
tee            copies all output to the run folder
limits         CPUs and memory that may be used, and the peak that was
environment    the variables that children see
"""
