"""Tests of field."""
