"""Observe a run from inside the target's interpreter, with the standard library of Python 3.9 and later.

A target has modules of the same names as this project. The launcher therefore loads this folder as a package of another
name and keeps the project's root off the target's path. Modules here import each other relatively, and nothing else of
the project.
"""
