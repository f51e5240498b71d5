"""Mixtures from their tasks' files to shards of tokens, each shard made once and kept."""
