"""Turn a session into one self-contained HTML page for each language."""
