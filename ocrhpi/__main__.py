"""``python -m ocrhpi``: the command line, where its script is not on the path."""

from __future__ import annotations

from ocrhpi.cli import main

if __name__ == "__main__":  # processes that `multiprocessing` spawns import this module, too
    main()
