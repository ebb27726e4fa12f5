# SPDX-License-Identifier: Apache-2.0
"""Pure loss functions of arrays; imports jax only."""
