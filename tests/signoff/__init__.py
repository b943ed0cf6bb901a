"""Tests of signoff."""
