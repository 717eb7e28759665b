from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = {"requests", "urllib3", "tqdm", "yaml", "filelock", "numpy"}
CODE = """
import sys
from ocrhpi import catalog
catalog.official_models()
catalog.locate("PP-OCRv4_mobile_rec")
print(*sys.modules)
"""


def test_looking_up_a_model_loads_no_network_library() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, check=True, capture_output=True, text=True)
    assert HEAVY & set(done.stdout.split()) == set()
