"""Bind the decisions of a reviewer to a session, its pages and its records, and find changes since then."""
