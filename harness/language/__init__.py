"""Sentences and numbers in two languages."""
