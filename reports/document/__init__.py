"""The Definition of Done as a document."""
