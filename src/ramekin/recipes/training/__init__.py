"""What `ramekin train` is made of."""
