"""Text recognition over HTTP: a queue of the lines of all requests, read in batches of like width.

In the order in which a request meets them:

1. `middleware`  counts requests, and takes bodies within limits of size, sum and time
2. `app`         routes, and every error in one shape; `schema` has the JSON, PaddleX's
3. `recognizer`  one request: places in the queue, images, lines, texts, in this order
4. `images`      base64 or URL -> lines, within limits of count and pixels
5. `batcher`     the queue: which lines are read next, and when it is full, for how long

`metrics` counts, `server` runs the app on this machine until it is told to stop; all of it
but the last is what `ocrhpi.integrations.ray_serve` runs in a replica. `options` has the limits, and opens the model.
"""
