"""One command for a machine with an NVIDIA GPU: tests, timings and a tuning, in less than nine minutes.

    scripts/gpu_check OUTPUT --models DIR [--device gpu:0] [--seconds 520]

DIR holds model directories, and may hold wheels, which are unpacked for this run alone. Nothing is fetched. Each
step that fails, or for which no time is left, is a line of the report; OUTPUT gets ``report.md``, ``report.json`` and
the logs, written anew after each step. ``--device cpu`` is the dry run: the same steps with the engines for CPUs.

- `clock`: the time that is left
- `wheels`: unpacks wheels before anything else is imported
- `ways`: what is measured: each provider at each precision
- `worker`, `measuring`: one way on one model, in a process of its own
- `steps`: facts, tests, tunings
- `run`: all of them, in order
- `report`: JSON and Markdown

Graphs are exported where the cache lacks them, which needs Paddle for Paddle models; ``--prepare`` does that alone,
on any machine, so that a GPU need not wait for it: give both runs the same ``--cache``.
"""
