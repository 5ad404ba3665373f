"""Reads pickles without giving them power: nothing that a pickle names is imported, called or restored.

    __main__    the child that reads: under limits, closed, and with one answer
    limits      the most memory and processor time of the child
    closed      from here on, nothing may be opened, imported or started
    answer      the child's answer, as it is written and taken apart
    recorded    how each table is found in what a file describes
    files       the recorder's files, and the tables that they give
    frames      tables and indexes of pandas, as a pickle describes them
    arrays      arrays, numbers, texts and times, as a pickle describes them
    nodes       what a pickle describes: plain values, and what was to be made of them
    machine     executes the opcodes of a pickle, and makes nodes of them

The standard library only: what is not imported cannot be reached. Why not Python's own unpickler, is in
docs/decisions/0019.
"""
