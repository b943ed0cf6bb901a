"""Decide which runs to make, and store their verdicts."""
