from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ocrhpi.backends.trt.gpu import TensorBuffer, size_in_bytes

if TYPE_CHECKING:
    from tests.backends.trt.fake_cuda import FakeCuda

pytestmark = pytest.mark.usefixtures("current")


def test_size_in_bytes() -> None:
    assert size_in_bytes((2, 3, 4), np.float32) == 96
    assert size_in_bytes((), np.uint8) == 1


def test_a_smaller_array_is_padded_with_zeros_up_to_the_shape(cuda: FakeCuda) -> None:
    buffer = TensorBuffer(cuda.driver, np.uint8, 2 * 4)
    buffer.put(np.ones((2, 3), np.uint8), (2, 4))
    np.testing.assert_array_equal(buffer.host((2, 4)), [[1, 1, 1, 0], [1, 1, 1, 0]])
    buffer.free()
    assert not cuda.memory
    assert not cuda.pinned


def test_content_makes_the_round_trip_only_when_the_stream_is_synchronised(cuda: FakeCuda) -> None:
    stream, sent = cuda.driver.Stream(), np.arange(6, dtype=np.int32)
    buffer = TensorBuffer(cuda.driver, np.int32, sent.nbytes)
    buffer.put(sent, (6,))
    buffer.upload((6,), stream)
    stream.synchronize()
    buffer.put(np.zeros(6, np.int32), (6,))
    buffer.download((6,), stream)
    assert not buffer.host((6,)).any()
    stream.synchronize()
    np.testing.assert_array_equal(buffer.host((6,)), sent)


def test_memory_is_given_back_if_the_gpu_has_none_left(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise cuda.error("cuMemAlloc failed: out of memory")

    monkeypatch.setattr(cuda.driver, "mem_alloc", fail)
    with pytest.raises(cuda.error, match="out of memory"):
        TensorBuffer(cuda.driver, "float32", 1024)
    assert cuda.pinned == []
