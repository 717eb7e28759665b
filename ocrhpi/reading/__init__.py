"""Readers: lines in memory -> their texts. One contract, and readers made of readers.

- `base`: the contract, `LineReader`
- `stream`: the one read loop, over any reader
- `engine`: one engine; steps 2 to 6 of recognition
- `split`: one reader for narrow lines, another for wide ones
- `fallback`: the next reader where one fails
"""
