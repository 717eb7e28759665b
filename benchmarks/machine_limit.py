"""How far the machine's limit is: achieved GFLOP/s of a model against a large matrix product in the same engine.

Run it with ``python -m benchmarks.machine_limit``. Both run with the same threads and precision, interleaved, medians.
The multiply-adds of the model are those of its Conv and MatMul nodes at 1 x 3 x 48 x 320 (702,469,440 for
PP-OCRv4_mobile_rec); a multiply-add counts as two operations.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import onnx
from onnx import TensorProto, helper

from ocrhpi.assembly import open_reader
from ocrhpi.config.candidate import Candidate
from ocrhpi.loader import find_model
from ocrhpi.machine import usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL_MACS = 702_469_440
SIZE = 2048


def write_product(path: Path) -> Path:
    """Write an ONNX graph that multiplies two matrices of SIZE x SIZE."""
    shape = [SIZE, SIZE]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("a", "b", "c")]
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "product", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def openvino_product(path: Path) -> Callable[[], Any]:
    """Return the product in OpenVINO, FP32."""
    import openvino  # noqa: PLC0415 - one engine at a time

    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": usable_cores(), "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(str(path), "CPU", config).create_infer_request()
    feeds = list(np.random.default_rng(0).normal(size=(2, SIZE, SIZE)).astype(np.float32))
    return lambda: request.infer(feeds, share_inputs=True, share_outputs=True)


def onnxruntime_product(path: Path) -> Callable[[], Any]:
    """Return the product in ONNX Runtime, FP32."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    a, b = np.random.default_rng(0).normal(size=(2, SIZE, SIZE)).astype(np.float32)
    return lambda: session.run(None, {"a": a, "b": b})


PRODUCTS = {"openvino": openvino_product, "onnxruntime": onnxruntime_product}


def seconds(action: Callable[[], Any]) -> float:
    """Time one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@click.command()
@click.option("--rounds", default=15, show_default=True)
@click.option("--batch_size", "batch_sizes", type=int, multiple=True, default=(1, 8), show_default=True)
def main(rounds: int, batch_sizes: tuple[int, ...]) -> None:
    """Compare PP-OCRv4_mobile_rec with the peak of each engine."""
    with tempfile.TemporaryDirectory() as work:
        path = write_product(Path(work) / "product.onnx")
        for engine, product_of in PRODUCTS.items():
            product = product_of(path)
            with open_reader(find_model("PP-OCRv4_mobile_rec"), Candidate(backend=engine)) as opened:
                reader = opened.engine_for(320)
                for lines in batch_sizes:
                    batch = np.random.default_rng(0).uniform(-1, 1, (lines, 3, 48, 320)).astype(np.float32)
                    samples = [
                        (seconds(product), seconds(partial(reader.backend.run, batch))) for _ in range(rounds + 2)
                    ][2:]
                    peak, model = (statistics.median(column) for column in zip(*samples, strict=True))
                    peak_rate, rate = 2e-9 * SIZE**3 / peak, 2e-9 * MODEL_MACS * lines / model
                    print(
                        f"{engine:<12} batch {lines}: {1e3 * model:7.2f} ms, {rate:5.0f} GFLOP/s,"
                        f" peak {peak_rate:5.0f}: {rate / peak_rate:.0%}"
                    )


if __name__ == "__main__":
    main()
