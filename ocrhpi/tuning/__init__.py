"""Walk B, tune: the steps that run once per machine and model.

1. `export`   a Paddle or ONNX model -> ONNX in a chosen `GraphForm`, verified before it is kept
   - `convert`: Paddle to ONNX, in a child process
   - `passes`: mending, simplification, metadata; `heads`: top-1 in the graph; `masking`: the width mask
   - `verification`: the exported graph against its source on real lines
"""
