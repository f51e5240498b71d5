"""Records: from parquet, jsonl, csv and tsv files, from the hub, and from the built-in synthetic world."""
