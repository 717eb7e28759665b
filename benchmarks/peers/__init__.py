"""Time ocrhpi side by side with PaddleOCR and RapidOCR on the same lines, the same model and the same threads.

    python -m benchmarks.peers FOLDER LABELS -o DIR [--model PP-OCRv4_mobile_rec] [--threads N] [--rounds N]
    python -m benchmarks.peers --rendered 600 -o DIR    # lines that all differ in width
    python -m benchmarks.peers FOLDER LABELS -o DIR --measures stream    # thousands of lines of ever new widths

Every setting (a system at a batch size) runs in a worker process of its own; in each round every live worker is
timed once, in random order, one at a time, the others stopped. Results: ``DIR/report.md`` and ``DIR/report.json``.

Measures: ``throughput`` and ``latency`` time the same lines again and again, all warm. ``first`` times the first pass
of fresh processes. ``stream`` times systems as they are used: a stream made of these lines, each time of other widths,
of which every round reads a later part in processes that live on. Without ``throughput``, the stream chooses the batch
sizes, too. What the first FP32 system reads at batch 1 is the reference of the stream, whatever the label file says.

In reading order: ``systems`` (the table of what is compared), ``readers`` (how each system is called), ``worker`` (the
process around a reader), ``starter``, ``records``, ``trials`` (what is timed, and when), ``comparison``, ``report``.
``lines``, ``rendering``, ``stream``, ``model_files`` and ``peer_venv`` prepare what the workers need.
"""
