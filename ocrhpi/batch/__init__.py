"""Batches: more line images than one call, one process or one machine should read.

Over tables, as Ray Data, Spark and Dask hand them out:

- `recognizer`  the callable class: a table in, the same table with what was read out
- `formats`     columns of pandas, Arrow and numpy tables, and files of results
- `reading`     what a cell holds -> a line -> its text, or why there is none
- `tunings`     measured once per kind of machine, carried to the others; opened once in a process

From files to files, as ``ocrhpi batch`` does, step by step; `run` has it in one function:

1. `sources`    a folder, a manifest, Parquet files -> shards: rows that are read and written together
2. `store`      the folder of results: which shards are there (`plan`), one file each (`formats`), whole or not at all
3. `pool`       what reads shards: processes of this machine (`worker` is their end), or a cluster's
                actors (`ocrhpi.integrations.ray_cluster`); their warnings are relayed
"""

from __future__ import annotations

from ocrhpi.batch.recognizer import LineRecognizer

__all__ = ["LineRecognizer"]
