"""Time ocrhpi side by side with PaddleOCR and RapidOCR on the same lines, the same model and the same threads.

    python -m benchmarks.peers FOLDER LABELS -o DIR [--model PP-OCRv4_mobile_rec] [--threads N] [--rounds N]
    python -m benchmarks.peers --rendered 600 -o DIR    # lines that all differ in width

Every setting (a system at a batch size) runs in a worker process of its own; in each round every live worker is
timed once, in random order, one at a time, the others stopped. Results: ``DIR/report.md`` and ``DIR/report.json``.

In reading order: ``systems`` (the table of what is compared), ``readers`` (how each system is called), ``worker`` (the
process around a reader), ``starter``, ``trials`` (what is timed, and when), ``comparison``, ``report``.
``lines``, ``rendering``, ``model_files`` and ``peer_venv`` prepare what the workers need.
"""
