"""The format of one run: what was asked, what was observed, and the seal."""
