"""The command line: the only place beside `pipelines` that picks concrete classes."""

from lungal.cli.main import main

__all__ = ["main"]
