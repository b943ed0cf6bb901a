"""Strike the harness with faults and hostile input, and count what was lost, let in, or not seen.

`python -m tests.reliability --long --write docs/reliability.md` runs the long profile.
`tests/test_reliability.py` is the short one.
"""
