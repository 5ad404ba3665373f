"""The training in steps, and the reuse of a finished one.

checkpoints    the files of each step, for a later attempt
trained        the record of a finished training
reuse          copy the training of an identical run
failure        the reason for which qrun failed
"""
