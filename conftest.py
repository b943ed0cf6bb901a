"""Loads the harness's pytest plugin: one place, so that it is never registered twice."""

pytest_plugins = ["harness.plugin.hooks"]
