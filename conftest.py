"""Load the harness's pytest plugin. No other file loads it, so that it is not registered twice."""

pytest_plugins = ["harness.plugin.hooks", "harness.plugin.fixtures"]
