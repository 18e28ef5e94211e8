"""Fixtures that tests of several folders share live in tests/plugins."""

from hypothesis import settings

pytest_plugins = [
    "plugins.browser",
    "plugins.label_studio",
    "plugins.real_films",
    "plugins.tiny_detector",
]

# A busy machine is slow at times, and that is no failure.
settings.register_profile("lungal", deadline=None)
settings.load_profile("lungal")
