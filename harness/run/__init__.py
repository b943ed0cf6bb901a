"""Run a target as a request asks, and seal the record."""
