"""What the backend ``onnxruntime`` is made of: options, sessions per provider, fixed shapes, libraries, caches.

The module ``onnxruntime`` is untyped and passed in as an argument, under the names of `ocrhpi.backends.ort.options`;
`ocrhpi.backends.onnxruntime_` imports it.
"""
