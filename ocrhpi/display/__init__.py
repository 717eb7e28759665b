"""What a person sees of a tuning; nothing is measured or chosen here.

- `live`        while it runs: a display on a terminal (`screen`), lines in the log elsewhere
- `table`       afterwards: the table of all rows with its `notes`, and the same as plain values
- `summary`     the numbers in it, drawn from the rows
- `formatting`  words and numbers, and printing
"""
