"""What `ramekin sweep` is made of."""
