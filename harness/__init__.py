"""Drives a mosaic pipeline, records what it does, and judges the record."""
