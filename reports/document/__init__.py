"""Write the Definition of Done of one target as a document."""
