"""Normal mode against high-performance mode, model by model: what `ocrhpi bench` measures and `ocrhpi report` shows.

- `rows`: what was measured, as plain values; one JSON file a model
- `run`: measures model after model, and goes on where it was interrupted
"""
