"""Observe a user's own run, explain it from what it left, and repeat it."""
