"""What every timing here rests on: the lines of a `stream`, and what paired samples prove (`statistic`).

Processes that are timed in turns are trials of `ocrhpi.tuning`, which benchmarks use, too.
"""
