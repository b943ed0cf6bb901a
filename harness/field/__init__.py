"""Observe, dissect and repeat somebody else's run."""
