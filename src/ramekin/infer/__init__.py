"""Text out of models: decoding with a cache (greedy, sampling, beams), batches of like length."""
