"""Rows, chat templates, tokenizers, packing and batches."""
