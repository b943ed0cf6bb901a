"""Decide which runs to make, and hold what they came to."""
