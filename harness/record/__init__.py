"""Define and read the format of one run's record: what was asked, what was observed, and the seal."""
