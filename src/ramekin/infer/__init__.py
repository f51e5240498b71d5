"""Text out of models: greedy decoding with a cache, batches of like length."""
