"""Flax Llama, its heads, cache, sampling, sharding rules and weights."""
