# SPDX-License-Identifier: Apache-2.0
"""The weight of the divergence, steered so that the divergence meets a goal."""

import math

# A batch far off says no more than one a fifth off.
_LARGEST_ERROR = 0.2


def adaptive_kl_coef(
  *,
  kl_coef: float,
  kl: float,
  target: float,
  horizon: float,
  num_samples: int,
) -> float:
  r"""The KL coefficient after a batch, by a proportional controller.

  .. math:: e = \mathrm{clip}\left(\frac{KL - target}{target},
            -0.2, 0.2\right), \quad \beta' = \beta \left(1 + e\,
            \frac{n}{horizon}\right)

  (Ziegler et al., arXiv 1909.08593, section 2.2; their :math:`K_\beta` is n
  over the horizon.) On the host, in plain floats: once a batch.

  Args:
    kl_coef: The coefficient so far, above 0.
    kl: Divergence of the batch, in nats a response, or in what `target` is in.
    target: The divergence wanted, above 0.
    horizon: Responses it takes to change the coefficient by a factor of about
      e^0.2 when far off, above 0. Ziegler et al.: 10,000.
    num_samples: Responses of this batch, at least 0.

  Returns:
    The new coefficient, above 0.

  Raises:
    ValueError: An argument out of range, or so many samples that the
      coefficient could fall to 0.

  Example:
    Twice the target, a tenth of a horizon: 2 % more.

    >>> coef = adaptive_kl_coef(kl_coef=0.1, kl=12.0, target=6.0,
    ...                         horizon=1000, num_samples=100)
    >>> f"{coef:.4f}"
    '0.1020'
  """
  for name, value in dict(
    kl_coef=kl_coef, target=target, horizon=horizon
  ).items():
    if not 0 < value < math.inf:
      raise ValueError(f"{name}={value} must be above 0 and finite.")
  if not math.isfinite(kl):
    raise ValueError(
      f"kl={kl} is not finite: the policy's log-probabilities or the"
      " reference's are broken; look at the batch before going on."
    )
  if not 0 <= _LARGEST_ERROR * num_samples < horizon:
    raise ValueError(
      f"num_samples={num_samples} must be at least 0 and below 5 horizons of"
      f" {horizon}: one batch could take the coefficient to 0. Raise the"
      " horizon or lower the batch."
    )
  error = (kl - target) / target
  error = min(max(error, -_LARGEST_ERROR), _LARGEST_ERROR)
  return float(kl_coef * (1 + error * num_samples / horizon))
