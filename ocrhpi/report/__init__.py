"""What people see of tunings, benchmarks and evaluations; nothing is measured or chosen here.

Of a tuning:

- ``live.py``: while it runs: a display on a terminal (``screen.py``), lines in the log elsewhere
- ``tuning_table.py``: afterwards: the table of all rows with its notes (``tuning_notes.py``), and the same as values
- ``tuning_figures.py``: the numbers in it, drawn from the rows

Of a benchmark, from its rows alone:

- ``files.py``: the rows of a directory -> the report, as CSV and JSON, too; `write_report` is the way in
- ``bench_figures.py``: what follows from a row: medians, speed-ups, what they prove, and how that is worded
- ``conditions.py``: on which machine, with which versions and threads, and how to measure it again
- ``markdown.py``, ``page.py``: Markdown; the HTML page, from ``templates/``
- ``plot.py``: where the marks, ticks and names of the page's plot stand
- ``compare.py``: two runs -> what got faster or slower

Of an evaluation: ``evaluation.py``. Words, numbers and printing of all of them: ``formatting.py``.
"""
