"""The ``phase3`` command: one module a command."""
