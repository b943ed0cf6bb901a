"""Review the changes between two versions of a target's source."""
