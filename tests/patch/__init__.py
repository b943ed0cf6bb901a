"""Tests of patch."""
