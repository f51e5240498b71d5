"""Objectives, a file each: from a batch to the loss of every real target token."""
