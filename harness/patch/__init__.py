"""Review two versions of a source."""
