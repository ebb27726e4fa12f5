# SPDX-License-Identifier: Apache-2.0
"""Scorers and benchmarks, shared with online training."""
