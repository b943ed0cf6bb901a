"""Tests of reports/document."""
