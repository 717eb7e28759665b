"""Lower precision by the graph: which layers of a model may be lowered, and the graphs in which they are.

`lower` finds a plan, a plain file, once per model, precision and engine; `graphs` makes the graph of a plan.
"""
