"""PaddleX, under PaddleOCR, with ocrhpi's reading in it; `ocrhpi.integrations.paddleocr` opens it.

- `versions`: which PaddleX this fits
- `installation`: what is changed in it, with `changes` to undo it; `patches`: how its functions take our options
- `settings`: ``engine_config`` and ``hpi_config`` as users give them
- `engines`: PaddleX's engine ``ocrhpi``, and the one that stands in for ``hpi``
- `recognizer`: its text recognition predictor, reading with a `ocrhpi.reading.base.LineReader`
- `others`: its other models: where they run without us (`home`), other engines (`graphs`), and what was found out about
  them (`evidence`)
- `launcher`: another program with all this in place

Importing the package imports nothing of PaddleX, and changes nothing in it.
"""
