"""What a whole run costs: plain qrun, qrun with the right number of threads, and ours, side by side.

workflow   what each way is asked to do, as the workflow that qrun reads
phases     where the time of one qrun goes
child      one qrun in a process of its own
measure    its time, its memory, and what it left
report     the table
"""
