"""Worker processes that answer requests: what may crash, hang or eat all memory runs in one, and the parent lives.

- `commands`: the worker's end; standard library alone, so that any interpreter can run it
- `process`: the parent's end

The protocol is one JSON object a line. Request: ``{"id": 1, "command": "time", "arguments": {"batch": 6}}``.
Reply: ``{"id": 1, "value": ...}`` or ``{"id": 1, "error": "..."}``.
"""
