"""Edge bundles, the building side: a model and all that a small device needs to read with it.

In reading order:

- `targets`: what a bundle can be made for, and what can be asked of one
- `write`: the steps in order, and lines of known text, licences and instructions that go with the model
- `pack`: the folder or the zip file; `runner`: the wheel ``ocrhpi-edge``
- `artifacts`: what lies beside a bundle, for a device without a network or for a container
- `full_runtime`: bundles that the small runner cannot read

What a device runs is `ocrhpi.edge`, which imports nothing of this room.
"""
