"""Recognition: the steps between what the caller passes and the text that comes back.

1. `inputs`     path, URL, directory, PDF, array, list -> `LineImage`, in input order
2. `geometry`   size of a line -> its resized and padded width
3. `batching`   lines -> batches of equal padded width, and the order to undo
4. `tensors`    a batch of lines -> float32 (N, 3, H, W)
5. a backend    tensor -> `Emissions` (in `ocrhpi.backends`, which these modules never import)
6. `ctc`        emissions -> text and score; words are grouped and Arabic script put into reading order there

`ocrhpi.predictor` is the pipeline itself.
"""
