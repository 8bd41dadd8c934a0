"""Measured speed, ours and a peer's, in one run on one machine: `python -m benchmarks SCENARIO`.

    usage      CPU time and memory of processes, from /proc
    figures    percentiles and medians
    load       closed loops and open loops over lines
    peers      what is measured: each can sign people in, and carry messages between them
    scenarios  what is done, one module each
    report     JSON, a table, plots

A *line* is one signed-in connection. A message counts when its receiver's line has it, which is the
same for every peer; what acknowledgements say is shown beside it.
"""
