"""What was read, as callers get it: `TextRecResult`, names of its files (`save_names`), pictures (`visualize`)."""

from ocrhpi.results.result import TextRecResult

__all__ = ["TextRecResult"]
