"""The whole road, from a base to a report."""
