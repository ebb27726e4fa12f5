"""Scorers and benchmarks, shared with online training."""
