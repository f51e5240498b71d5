"""What `ramekin study` is made of."""
