"""Timings, each against a plain way of doing the same in the same run: `make bench`."""
