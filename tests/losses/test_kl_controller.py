# SPDX-License-Identifier: Apache-2.0
"""The KL controller: hand values, its bounds, where it comes to rest."""

import math

import pytest

from ramjax.losses.kl_controller import adaptive_kl_coef

_GIVEN = dict(
  kl_coef=0.1, kl=6.0, target=6.0, horizon=10_000.0, num_samples=1000
)


def _next(**change):
  return adaptive_kl_coef(**{**_GIVEN, **change})


@pytest.mark.parametrize(
  "kl,factor",
  [
    # A tenth of a horizon: a tenth of the error, which is at most a fifth.
    (6.0, 1.0),
    (6.6, 1.01),
    (5.4, 0.99),
    (7.2, 1.02),
    (7.3, 1.02),
    (600.0, 1.02),
    (4.7, 0.98),
    (0.0, 0.98),
    (-5.0, 0.98),
  ],
)
def test_hand_values(kl, factor):
  coef = _next(kl=kl)
  assert type(coef) is float
  assert coef == pytest.approx(0.1 * factor, rel=1e-9)


def test_no_samples_change_nothing():
  assert _next(kl=600.0, num_samples=0) == 0.1


def test_it_steers_a_divergence_that_falls_with_it_to_the_target():
  # KL = 1 / coefficient: the coefficient comes to rest at 1 / 6.
  coef = 0.01
  for _ in range(300):
    coef = _next(kl_coef=coef, kl=1 / coef)
  assert 1 / coef == pytest.approx(6.0, rel=1e-4)


@pytest.mark.parametrize(
  "change,message",
  [
    ({"kl_coef": 0.0}, "kl_coef=0.0 must be above 0"),
    ({"target": 0.0}, "target=0.0 must be above 0"),
    ({"horizon": math.inf}, "horizon=inf must be above 0 and finite"),
    ({"kl": math.nan}, "kl=nan is not finite"),
    ({"kl": math.inf}, "kl=inf is not finite"),
    ({"num_samples": -1}, "num_samples=-1 must be at least 0"),
    ({"num_samples": 50_000}, "below 5 horizons of 10000.0"),
  ],
)
def test_what_cannot_be_is_refused(change, message):
  with pytest.raises(ValueError, match=message):
    _next(**change)


def test_the_largest_batch_leaves_the_coefficient_above_0():
  assert _next(kl=0.0, num_samples=49_999) > 0
