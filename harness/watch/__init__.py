"""Watches a run from outside: its process tree, its disk, and how far it is."""
