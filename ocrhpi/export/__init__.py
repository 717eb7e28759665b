"""A Paddle or ONNX model -> ONNX in a chosen form, verified before it is kept; step 1 of the tuning pipeline.

- `exporter`: the steps in order, and the cache of their results
- `convert`: Paddle to ONNX, in a child process, where `programs` mends what it cannot parse
- `passes`: mending, simplification, metadata
- the passes that make a form, in this order: `masking`, the width mask; `heads`, top-1 in the graph; `half`, FP16 where
  `precisions` says so; `pixels`, uint8 input
- `verification`: the exported graph against its source on real lines; `emulation`: the rounding of FP16 on a CPU
"""
