# SPDX-License-Identifier: Apache-2.0
"""The policy gradient without a surrogate: REINFORCE."""

import jax
from jaxtyping import Array, Float

from ramjax.losses.shapes import shape_checked


@shape_checked
def policy_gradient(
  *,
  logps: Float[Array, " N"],
  advantages: Float[Array, " N"],
) -> Float[Array, " N"]:
  r"""Per-token REINFORCE loss; nothing is reduced over N.

  .. math:: -A \log \pi(y)

  Its gradient is the policy gradient where the tokens were drawn from the
  policy itself (Williams, 1992). With leave-one-out advantages it is RLOO
  (arXiv 2402.14740), with 1 for each token SFT. Its value means nothing: only
  the gradient does.

  Args:
    logps: [N] log-probability of each token, in nats, finite.
    advantages: [N] how much better than expected a token was; no gradient
      flows to it. 0 for padding.

  Returns:
    [N] float32; gradients flow to `logps`, and are the advantages' opposites.

  Example:
    >>> import jax.numpy as jnp
    >>> policy_gradient(logps=jnp.array([-3.0]),
    ...                 advantages=jnp.array([0.5])).tolist()
    [1.5]
  """
  return -jax.lax.stop_gradient(advantages) * logps
