"""Deciding which film a radiologist reads next."""
