"""A Paddle or ONNX model -> ONNX in a chosen form, verified before it is kept; step 1 of walk B.

- `exporter`: the steps in order, and the cache of their results
- `convert`: Paddle to ONNX, in a child process
- `passes`: mending, simplification, metadata; `heads`: top-1 in the graph; `masking`: the width mask
- `verification`: the exported graph against its source on real lines
"""
