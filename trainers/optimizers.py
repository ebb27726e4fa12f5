# SPDX-License-Identifier: Apache-2.0
"""Optimizers and learning-rate schedules by name, through optax."""

from collections.abc import Callable
from typing import Any

import jax
import optax
from optax import contrib

_OPTIMIZERS = ("adamw", "adafactor", "lion", "muon")
_MATRICES = ("kernel", "embedding", "lora_a", "lora_b")
_SCHEDULES = ("cosine", "linear", "constant")


def make_schedule(
  name: str,
  *,
  learning_rate: float,
  warmup_steps: int,
  total_steps: int,
  final_share: float,
) -> optax.Schedule:
  """Linear warm-up from 0, then decay to `final_share` of the peak.

  Args:
    name: "cosine", "linear" or "constant" (no decay).
    learning_rate: The peak.
    warmup_steps: Updates until the peak; 0 starts there.
    total_steps: Updates of the whole run, warm-up included.
    final_share: Of the peak, at the end; ignored by "constant".

  Returns:
    A function of the update's number, from 0.

  Raises:
    ValueError: Unknown name, or a warm-up longer than the run.
  """
  if name not in _SCHEDULES:
    raise ValueError(
      f"optim.schedule={name!r} is not one of {', '.join(_SCHEDULES)}."
    )
  if not 0 <= warmup_steps <= total_steps:
    raise ValueError(
      f"optim.warmup_steps={warmup_steps} must be between 0 and the run's"
      f" {total_steps} steps."
    )
  decay_steps = max(total_steps - warmup_steps, 1)
  if name == "cosine":
    decay = optax.cosine_decay_schedule(
      learning_rate, decay_steps, alpha=final_share
    )
  elif name == "linear":
    decay = optax.linear_schedule(
      learning_rate, learning_rate * final_share, decay_steps
    )
  else:
    decay = optax.constant_schedule(learning_rate)
  if not warmup_steps:
    return decay
  # The first update already moves: step 0 of n warm-up steps is peak / n.
  warmup = optax.linear_schedule(
    learning_rate / warmup_steps, learning_rate, max(warmup_steps - 1, 1)
  )
  return optax.join_schedules([warmup, decay], [warmup_steps])


def decay_mask(params: Any) -> Any:
  """True for matrices; norm scales are not pulled towards zero.

  Stacked norm scales are [L, D]: their name, not their rank, tells.
  """
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key in _MATRICES, params
  )


def make_optimizer(
  name: str,
  schedule: optax.Schedule,
  *,
  b1: float,
  b2: float,
  eps: float,
  weight_decay: float,
  clip_norm: float,
) -> optax.GradientTransformation:
  """Clipping by global norm, then the named optimizer with decoupled decay.

  Args:
    name: "adamw", "adafactor", "lion" or "muon" (matrices of the layers by
      Muon, the rest by AdamW).
    schedule: Learning rate by update.
    b1: First-moment decay (Muon: its momentum). Adafactor keeps none.
    b2: Second-moment decay; Adafactor and Muon's matrices do not use it.
    eps: Added to AdamW's denominator.
    weight_decay: Times learning rate, on matrices only (`decay_mask`; under
      "muon" only on the matrices Muon updates).
    clip_norm: Largest global gradient norm; 0 does not clip.

  Returns:
    An optax transformation.

  Raises:
    ValueError: Unknown name, or a value out of range.
  """
  if clip_norm < 0 or weight_decay < 0:
    raise ValueError(
      f"optim.clip_norm={clip_norm} and optim.weight_decay={weight_decay}"
      " must be at least 0; 0 turns either off."
    )
  make: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adamw": lambda: optax.adamw(
      schedule, b1, b2, eps, weight_decay=weight_decay, mask=decay_mask
    ),
    # optax would decay by the bare rate: scaling by the schedule comes last.
    "adafactor": lambda: optax.chain(
      optax.adafactor(
        None,
        weight_decay_rate=weight_decay or None,
        weight_decay_mask=decay_mask,
      ),
      optax.scale_by_schedule(schedule),
    ),
    "lion": lambda: optax.lion(
      schedule, b1, b2, weight_decay=weight_decay, mask=decay_mask
    ),
    "muon": lambda: contrib.muon(
      schedule,
      beta=b1,
      eps=eps,
      weight_decay=weight_decay,
      adam_b1=b1,
      adam_b2=b2,
      muon_weight_dimension_numbers=_muon_dimensions,
    ),
  }
  if name not in make:
    raise ValueError(
      f"optim.name={name!r} is not one of {', '.join(_OPTIMIZERS)}."
    )
  if not clip_norm:
    return make[name]()
  return optax.chain(optax.clip_by_global_norm(clip_norm), make[name]())


def _muon_dimensions(params: Any) -> Any:
  """Muon orthogonalises each layer's [in, out]; None leaves a leaf to AdamW."""
  matrix = contrib.MuonDimensionNumbers(reduction_axis=1, output_axis=2)

  def of(path: Any, leaf: jax.Array) -> Any:
    # A critic's layers lie a level deeper.
    names = [entry.key for entry in path]
    in_layer = "layers" in names and names[-1] == "kernel"
    return matrix if in_layer and leaf.ndim == 3 else None

  return jax.tree_util.tree_map_with_path(of, params)
