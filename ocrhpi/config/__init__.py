"""What can be asked for, checked.

- `reading_options`  a model and how it is read: what `TextRecognition`, `ocrhpi batch` and a server are given
- `hpi_config`       high-performance mode, with `paddlex_options` for the names that PaddleX has
- `objective`        what a choice is made by
- `candidate`        what can run: execution plans
- `normal_mode`      what runs where nothing is asked
"""
