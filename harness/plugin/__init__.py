"""Provide the options, fixtures and hooks of pytest, and write the session of ``pytest -m phase3``."""
