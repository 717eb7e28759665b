"""Ways in which hosts, users and machines treat a recognizer, each as often as asked for, and what came of it.

    python -m benchmarks.robustness LINES -o DIR [--scenario NAME ...] [--times 50]

LINES holds images of single lines. Scenarios:

- ``callers``: one predictor of each engine, called by 8 threads, by asyncio, by forked and by spawned processes;
- ``inputs``: 1,000 lines, one of which cannot be read, in 30 kinds;
- ``kills``: SIGKILL at a random moment of tuning, exporting, pulling a model and a batch, then the same command again;
- ``cold``: 8 processes at once on an empty cache;
- ``server``: ``ocrhpi serve`` under 64 clients with SIGTERM and SIGKILL in the middle, beside connections that are slow
  or say nothing, and with requests that point at files and at addresses inside the network.

``DIR/robustness.json`` has a row for each, ``DIR/robustness.md`` the table. A scenario that was run before is replaced.
"""
