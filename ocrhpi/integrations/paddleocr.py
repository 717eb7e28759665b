"""Unmodified PaddleOCR on ocrhpi: importing this registers the engine ``ocrhpi``.

    import ocrhpi.integrations.paddleocr

    TextRecognition(model_name="PP-OCRv5_mobile_rec", engine="ocrhpi", engine_config={"objective": "latency"})

`install` (``replace_hpi=True``) lets ``enable_hpi=True`` run on ocrhpi, `uninstall` puts everything back. Programs that
cannot be edited: ``python -m ocrhpi.integrations.paddleocr -- paddleocr ocr -i page.png``.
"""

from __future__ import annotations

from ocrhpi.integrations.paddlex.installation import install, uninstall

__all__ = ["install", "uninstall"]

install()

if __name__ == "__main__":
    from ocrhpi.integrations.paddlex.launcher import main

    main()
