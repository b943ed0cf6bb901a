"""Provide the ``phase3`` command, with one module for each subcommand."""
