"""What the backend ``tensorrt`` is made of: profiles, builder, engine cache, memory, execution contexts, CUDA graphs.

The modules ``tensorrt``, ``pycuda.driver`` and ``cuda.bindings.runtime`` are untyped and passed in as arguments, under
the names of `ocrhpi.backends.trt.names`; `ocrhpi.backends.tensorrt_` imports them.
"""
