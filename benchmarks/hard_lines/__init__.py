"""Lines of known text that are hard to read, so that lower precision shows; ``python -m benchmarks.hard_lines``."""
