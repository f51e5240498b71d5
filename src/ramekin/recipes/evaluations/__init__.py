"""Suites put to models: what is asked, by whom it is answered, what is told of it."""
