"""Runnable studies on the public API of ocrhpi; each says in its docstring what it proves and how to run it."""
