"""Searches of a merge's settings: what may be tried, and in which order."""
