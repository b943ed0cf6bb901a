"""Find a target's source and interpreter, and start the target."""
