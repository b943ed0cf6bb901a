"""The pytest face: options, fixtures and hooks, and the session that ``pytest -m phase3`` writes."""
