"""Bases that are made on the spot."""
