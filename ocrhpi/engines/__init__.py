"""Engines on a CPU: arrays in, arrays out. Numpy and the engine, nothing else, so that a device can have them, too.

- `onnxruntime_`: ONNX Runtime
- `openvino_`: OpenVINO

`ocrhpi.backends` builds on how they are configured; the edge runner and PaddleX's other models run graphs with them as
they are.
"""
