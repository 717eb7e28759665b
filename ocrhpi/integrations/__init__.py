"""Where ocrhpi runs inside other software: its own reading behind their calls."""
