"""A Paddle or ONNX model -> ONNX in a chosen form, verified before it is kept; step 1 of the tuning pipeline.

- `exporter`: the steps in order, and the cache of their results
- `convert`: Paddle to ONNX, in a child process, where `programs` mends what it cannot parse
- `passes`: the editor of graphs; mending, simplification, metadata
- the passes that make a form, in this order: `masking`, the width mask; `heads`, top-1 in the graph; `fp16`, node
  by node, with its rounding on a CPU; uint8 input, in `heads` too
- `verification`: the exported graph against its source on real lines, `isolated` where an engine may crash
"""
