"""Experiments as data: one file per experiment, complete and locked."""
