"""Whole campaigns of choosing and reading, played on films whose truth is known."""
