"""The runner of edge bundles: numpy, Pillow and one engine, nothing else.

This room and what it imports are also the distribution ``ocrhpi-edge`` (`ocrhpi.bundle.runner`), so that on a device
``from ocrhpi.edge import open_bundle`` needs no more than these. In reading order:

- `reader`: `open_bundle`, and steps 2 to 6 of recognition, one batch after the other
- `bundle`: a bundle whose hashes are right, in a folder or a zip file; `config`: what it says
- `images`: step 1 with Pillow, and step 4 without OpenCV, bit for bit
- `engine`: the contract of `onnxruntime_` and `openvino_`, which run the graph
- `selftest`: the bundle against the texts that it brings along
"""

from ocrhpi.edge.reader import EdgeReader, open_bundle

__all__ = ["EdgeReader", "open_bundle"]
