"""Pure loss functions of arrays; imports jax only."""
