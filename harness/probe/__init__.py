"""Observe a run from inside the target's interpreter, with the standard library of Python 3.9 and later."""
