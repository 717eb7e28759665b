"""PaddleX, under PaddleOCR, with ocrhpi's reading in it; `ocrhpi.integrations.paddleocr` opens it.

- `installation`: which PaddleX this fits, and its engine ``ocrhpi`` and the one that stands in for ``hpi``
- `patches`: how its functions take our options, and how every change is undone
- `settings`: ``engine_config`` and ``hpi_config`` as users give them
- `recognizer`: its text recognition predictor, reading with a `ocrhpi.reading.base.LineReader`
- `generic_models`: its other models on other engines, where they run without us (`PaddleHome`), and how the two compare
  (`parity`)
- `launcher`: another program with all this in place

Importing the package imports nothing of PaddleX, and changes nothing in it.
"""
