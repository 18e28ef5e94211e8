"""Fixtures that tests of several folders share live in tests/plugins."""

pytest_plugins = ["plugins.label_studio"]
