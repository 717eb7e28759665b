"""Time per page of PaddleOCR's pipeline, and the share of recognition in it: as it comes, and on ocrhpi.

    python -m benchmarks.pages tests/data/lines [--model_name PP-OCRv4_mobile_rec] [--threads N] [--rounds N]

Needs ``pip install 'ocrhpi[cpu,paddleocr]'``. Pages are composed of the lines of a folder, and one is rendered. Every
system (`systems`) runs in a process of its own (`worker`); in each round every one reads all pages once, in turn, so
that a machine that slows down slows all of them. Medians over rounds. Detection is PP-OCRv4_mobile_det (`models`).
"""
