# SPDX-License-Identifier: Apache-2.0
"""Flax Llama, its heads, cache, sampling, sharding rules and weights."""
