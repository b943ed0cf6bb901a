"""What runs in the target's interpreter: standard library only, Python 3.9 and later.

The target has modules of the same names as this project, so the launcher loads this folder as a package of another name
and keeps the project's root off the target's path. Modules here import each other relatively, and nothing else of the
project.
"""
