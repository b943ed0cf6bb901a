"""Work out what a record shows, without judging it."""
