"""The pytest plugin: options, hooks and fixtures, and the session that ``pytest -m phase3`` writes."""
