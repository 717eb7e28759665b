"""What a person sees of a tuning; nothing is measured or chosen here.

- `live`      while it runs: a display on a terminal (`screen`), lines in the log elsewhere
- `table`     afterwards: the table of all rows, what stands around it, and the same as plain values
- `figures`   the numbers in it, drawn from the rows
- `printing`  to stdout
"""
