"""The report of a benchmark, made from its rows alone; nothing is measured here.

In reading order:

- ``files.py``: the rows of a directory -> the files of the report; `write_report` is the way in
- ``bench_figures.py``: what follows from a row: medians, speed-ups, what they prove, and how that is worded
- ``conditions.py``: on which machine, with which versions and threads, and how to measure it again
- ``markdown.py``, ``data.py``, ``page.py``: Markdown; CSV and JSON; the HTML page, from ``templates/``
- ``plot.py``: where the marks, ticks and names of the page's plot stand
- ``compare.py``: two runs -> what got faster or slower
"""
