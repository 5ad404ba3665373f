"""What a run folder is, and the list of all runs.

request       what a stage is asked to do
folder        the folder: its owner, its metadata, the results of its stages
lease         which attempt may write into it
result        a stage's result, and the termination message
mlruns        the MLflow store in it
provenance    commit, versions and limits that make a run repeatable
listing       all run folders on a volume
values        values of a run's JSON, read by type
"""
