"""Command line: train, tokenizer, report, bench."""
