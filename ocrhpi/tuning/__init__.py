"""Tuning: the steps that run once per machine and model, in the order of `ocrhpi.tuner`.

1. `candidates`   model + machine + option grids -> candidates, and the reasons for those left out
2. `calibration`  the lines that are read: shipped ones of known text, or the user's own
3. `measure`      candidates -> rows: the gate, then raw timings, each candidate in a process of its own
4. `choose`       rows + objective -> the winner, a pure function
5. `cache`        winner and all rows <-> the file `hpi_config`, keyed (`key`), locked, written atomically
"""
