"""Turn a request into a sealed record."""
