"""Judge runs: each module answers one question, from records to a verdict."""
