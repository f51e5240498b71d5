"""The tensor side of the text: tokenise, plan batches, collate. The tokenizer and torch boundary."""
