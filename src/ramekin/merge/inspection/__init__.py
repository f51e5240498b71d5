"""What the deltas of models are like, and how they get in each other's way, before they are merged."""
