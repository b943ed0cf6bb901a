"""Compute facts from a record, without judging them."""
