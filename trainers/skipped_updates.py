# SPDX-License-Identifier: Apache-2.0
"""Which updates are left out: those that are no numbers, and spikes.

A skipped update leaves parameters, optimizer (its count and so the learning
rate too), averages, moving reference and carried scalars as they were, to the
bit. The step number goes on, for the batch is used up: a run of N steps that
skips one makes N - 1 updates, the same that it would make had that batch never
been there.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.trainers.state import SKIPPED, TrainState

# Metrics of a step: updates skipped so far, and of those the last in a row.
SKIPPED_METRIC = "skipped"
IN_A_ROW_METRIC = "skipped_in_a_row"
_IN_A_ROW = "in_a_row"
_WINDOW = ("losses", "norms", "num_seen")
# The least that counts as a deviation, as a share of the mean. The losses of a
# window may all be equal, and any other would then be a spike, for ever.
_LEAST_DEVIATION = 1e-3


def continued(
  saved: Mapping[str, Any], initial: Mapping[str, Any]
) -> dict[str, Any]:
  """What a rule goes on with that may be another than at the checkpoint.

  Args:
    saved: What the checkpoint holds of the rule that it was saved under.
    initial: Of the run's rule, as `SkipRule.initial` gives it.

  Returns:
    The leaves of `initial`: counters as saved, and the window too where it has
    the same size; it begins afresh where it has another.
  """
  is_same_window = all(
    name in saved and saved[name].shape == initial[name].shape
    for name in _WINDOW
    if name in initial
  )
  return {
    name: saved[name]
    if name in saved and (is_same_window or name not in _WINDOW)
    else fresh
    for name, fresh in initial.items()
  }


@dataclasses.dataclass(frozen=True)
class SkipRule:
  """When an update is skipped, and how many of them a run survives.

  The rule on spikes is that of OLMo and Levanter: a loss or a gradient norm
  beyond mean + sigma deviations of the last updates. It holds from the update
  on at which the window is full; what was skipped is not in the window.

  Attributes:
    max_in_a_row: Skipped updates one behind the other that a run survives; 0
      skips nothing, and what is no number ends the run.
    spike_sigma: Deviations above the mean that make a spike; 0 knows none.
    window: Updates that mean and deviation are of.
  """

  max_in_a_row: int
  spike_sigma: float
  window: int

  def __post_init__(self):
    if self.max_in_a_row < 0:
      raise ValueError(
        f"optim.max_skipped={self.max_in_a_row} must be at least 0; 0 stops the"
        " run at the first loss that is no number."
      )
    if not (math.isfinite(self.spike_sigma) and self.spike_sigma >= 0):
      raise ValueError(
        f"optim.spike_sigma={self.spike_sigma} must be finite and at least 0; 0"
        " skips no spikes, and 6 is usual."
      )
    if self.spike_sigma and not self.max_in_a_row:
      raise ValueError(
        f"optim.spike_sigma={self.spike_sigma} skips updates, and"
        " optim.max_skipped=0 allows none: set it to how many in a row are"
        " borne, such as 5."
      )
    if self.window < 2:
      raise ValueError(
        f"optim.spike_window={self.window} must be at least 2 updates: one has"
        " no deviation."
      )

  def initial(self) -> dict[str, Any]:
    """What the rule keeps in the state: scalars, and a window for spikes."""
    if not self.max_in_a_row:
      return {}
    kept: dict[str, Any] = {
      SKIPPED: jnp.int32(0),
      _IN_A_ROW: jnp.int32(0),
    }
    if self.spike_sigma:
      kept["losses"] = jnp.zeros(self.window, jnp.float32)
      kept["norms"] = jnp.zeros(self.window, jnp.float32)
      kept["num_seen"] = jnp.int32(0)
    return kept

  def judge(
    self, kept: dict[str, Any], loss: jax.Array, grad_norm: jax.Array
  ) -> tuple[jax.Array, dict[str, Any]]:
    """Whether an update is taken, and what the rule keeps after it.

    Args:
      kept: From `initial`, or from here.
      loss: Scalar, of the whole batch.
      grad_norm: Scalar, before clipping.

    Returns:
      A boolean scalar, and the new `kept`.
    """
    taken = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    after = dict(kept)
    if self.spike_sigma:
      num_seen = kept["num_seen"]
      is_warm = num_seen >= self.window
      for name, value in (("losses", loss), ("norms", grad_norm)):
        mean = jnp.mean(kept[name])
        least = _LEAST_DEVIATION * jnp.abs(mean)
        deviation = jnp.maximum(jnp.std(kept[name]), least)
        is_spike = value > mean + self.spike_sigma * deviation
        # Of nothing but zeros there is no deviation at all.
        taken &= ~(is_warm & (deviation > 0) & is_spike)
      place = num_seen % self.window
      for name, value in (("losses", loss), ("norms", grad_norm)):
        entered = kept[name].at[place].set(value)
        after[name] = jnp.where(taken, entered, kept[name])
      after["num_seen"] = num_seen + taken.astype(jnp.int32)
    left_out = (~taken).astype(jnp.int32)
    after[SKIPPED] = kept[SKIPPED] + left_out
    after[_IN_A_ROW] = jnp.where(taken, 0, kept[_IN_A_ROW] + 1)
    return taken, after

  def applied(
    self,
    old: TrainState,
    new: TrainState,
    loss: jax.Array,
    grad_norm: jax.Array,
  ) -> tuple[TrainState, dict[str, WeightedMean]]:
    """The state after a step, in which the update is taken or is not.

    Args:
      old: The state before.
      new: The state with the update.
      loss: Scalar, of the whole batch.
      grad_norm: Scalar, before clipping.

    Returns:
      The state, and how many updates were skipped, as metrics.
    """
    taken, kept = self.judge(old.skips, loss, grad_norm)
    chosen = {
      name: jax.tree.map(
        lambda x, y: jnp.where(taken, x, y),
        getattr(new, name),
        getattr(old, name),
      )
      for name in ("params", "opt_state", "ema", "moving", "carried")
    }
    metrics = {
      SKIPPED_METRIC: WeightedMean.of(kept[SKIPPED].astype(jnp.float32)),
      IN_A_ROW_METRIC: WeightedMean.of(kept[_IN_A_ROW].astype(jnp.float32)),
    }
    return dataclasses.replace(new, **chosen, skips=kept), metrics
