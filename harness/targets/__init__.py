"""Start a target."""
