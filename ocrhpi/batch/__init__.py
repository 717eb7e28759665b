"""Batches: more line images than one call, one process or one machine should read.

Over tables, as Ray Data, Spark and Dask hand them out:

- `recognizer`  the callable class: a table in, the same table with what was read out
- `tables`      columns of pandas, Arrow and numpy tables
- `cells`       what a cell holds -> a line, or why there is none
- `reading`     cells -> texts, in windows of bounded memory
- `opening`     `options` -> the predictor, one a process
- `winners`     measured once per kind of machine, carried to the others

From files to files, as ``ocrhpi batch`` does, in the order of the walk; `run` has it in one function:

1. `sources`    a folder, a manifest, Parquet files -> shards: rows that are read and written together
2. `store`      the folder of results: which shards are there (`plan`), one file each (`formats`), whole or not at all
3. `pool`       what reads shards: processes of this machine (`local_pool`, and `worker` at their end), or a cluster's
                actors (`ocrhpi.integrations.ray_pool`); what they warn of is said here again (`said`)
"""

from __future__ import annotations

from ocrhpi.batch.recognizer import LineRecognizer

__all__ = ["LineRecognizer"]
