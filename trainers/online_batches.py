# SPDX-License-Identifier: Apache-2.0
"""Batches that the policy makes itself: rollouts, cut into updates.

In the loop it stands where a Grain iterator does, and like one carries its
position into the checkpoint.
"""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ramjax.evals.running_moments import RunningMoments
from ramjax.losses.kl_controller import adaptive_kl_coef
from ramjax.losses.token_weights import token_weights
from ramjax.trainers import processes, rollout_batches, rollouts
from ramjax.trainers import rollout as rollout_lib
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.prompt_order import prompt_order
from ramjax.trainers.rollout import Rollout
from ramjax.trainers.rollout_batches import RolloutBatch
from ramjax.trainers.run_error import PassingError
from ramjax.trainers.state import TrainState

ROLLOUTS_DIR = "rollouts"
FEATURES = (
  "old_logps", "ref_logps", "drawn_logps", "values", "advantages", "returns",
)  # fmt: skip


class OnlineBatches:
  """Endless batches; a new rollout is made when the last one is used up."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    prompts: Sequence[Sequence[Prompt]],
    weights: Sequence[float],
    maker: rollouts.RolloutMaker,
    mesh: Mesh,
  ):
    """Checks how rollouts are cut into updates.

    Args:
      config: Of the run.
      workdir: Of the run; rollouts are kept in it.
      prompts: Of each source.
      weights: Relative weight of each source.
      maker: Makes the rollouts.
      mesh: Of the updates.

    Raises:
      ValueError: A size that does not fit another.
    """
    options = config.rollout
    for name in ("prompts", "group_size", "epochs"):
      if options[name] < 1:
        raise ValueError(f"rollout.{name}={options[name]} must be at least 1.")
    samples = options.prompts * options.group_size
    if samples % config.data.batch_size:
      raise ValueError(
        f"rollout.prompts={options.prompts} times rollout.group_size="
        f"{options.group_size} is {samples} answers, which updates of"
        f" data.batch_size={config.data.batch_size} do not use up: make it a"
        " multiple."
      )
    # Refuses a horizon that is too short, before anything is sampled.
    _adapted(config, config.loss.kl_coef, config.loss.kl_target, samples)
    self._config = config
    self._folder = workdir / ROLLOUTS_DIR
    self._prompt_at = prompt_order(prompts, weights, config.seed)
    self._maker = maker
    self._mesh = mesh
    self._samples = samples
    self._per_epoch = samples // config.data.batch_size
    self._updates = options.epochs * self._per_epoch
    # Answers that stay in one update: behind one prompt, computed once.
    self._together = 1
    if rollouts.shares_prompts(config):
      self._together = options.group_size
    self._rollout: Rollout | None = None
    self._weights: dict[str, np.ndarray] = {}
    self._number = 0
    self._update = 0
    self._num_prompts = 0
    self._kl_coef = config.loss.kl_coef
    self._moments = RunningMoments()

  def next_batch(
    self,
    state: TrainState,
    settle: Callable[[], None],
    check: Callable[[], None],
  ) -> tuple[RolloutBatch, Mapping[str, float]]:
    """The batch of the next update, and the metrics of a new rollout.

    Args:
      state: Of the run, which samples where a rollout is needed.
      settle: Called before that: what is wrong with the last update is said
        before a policy that it broke samples.
      check: Called often while it samples; what it raises leaves everything as
        it was before.

    Returns:
      A host batch; metrics are empty within a rollout.
    """
    metrics: Mapping[str, float] = {}
    if self._rollout is None:
      settle()
      metrics = self._begin(state, check)
    assert self._rollout is not None
    batch = self._cut(self._rollout)
    self._update += 1
    if self._update == self._updates:
      self._rollout, self._weights = None, {}
      self._number += 1
      self._update = 0
    return batch, metrics

  def get_state(self) -> dict[str, Any]:
    """The position, for a checkpoint; keeps a rollout that is half used.

    The first process alone calls it, as all are at the same place.
    """
    digest = None
    if self._rollout is not None:
      digest = rollout_lib.save_arrays(
        self._folder, self._number, self._rollout
      )
    return {
      "number": self._number,
      "update": self._update,
      "num_prompts": self._num_prompts,
      "kl_coef": self._kl_coef,
      "moments": self._moments.to_json(),
      "together": self._together,
      "rollout_sha256": digest,
    }

  def set_state(self, state: Mapping[str, Any]) -> None:
    """Moves to a position; reads the rollout it lies within.

    All processes call it.

    Raises:
      Damaged: The file of that rollout is gone, or is not what was saved.
      OSError: It cannot be read, for want of something else.
      ValueError: The position is one in updates of other sizes.
    """
    self._number = state["number"]
    self._update = state["update"]
    self._num_prompts = state["num_prompts"]
    self._kl_coef = state["kl_coef"]
    self._moments = RunningMoments.from_json(state["moments"])
    self._rollout, self._weights = None, {}
    if not self._update:
      return
    self._rollout = self._read(state.get("rollout_sha256"))
    num = len(self._rollout.scores)
    together = state["together"]
    if (
      num != self._samples
      or self._update >= self._updates
      or together != self._together
    ):
      raise ValueError(
        f"the checkpoint lies after {self._update} updates on a rollout of {num}"
        f" answers, {together} together, and the config now has rollouts of"
        f" {self._samples}, {self._together} together, for {self._updates}"
        " updates: change rollout.prompts, group_size, epochs, data.batch_size"
        " and data.share_prompt at a checkpoint between two rollouts."
      )

  def start_prefetch(self) -> None:
    """Nothing is made ahead: a rollout needs the policy of its time."""

  def close(self) -> None:
    """Nothing is open."""

  def _read(self, digest: str | None) -> Rollout:
    """The rollout of this number, on each process from the file of the first.

    Args:
      digest: Of the file; None where an earlier version wrote the position.
    """

    def look() -> bool:
      return rollout_lib.is_there(self._folder, self._number)

    # The first alone says that it is gone: others may see it late.
    if processes.first_tells(look) and not processes.sees(look):
      raise PassingError(
        f"process {jax.process_index()} does not see rollout {self._number} in"
        f" {self._folder}, and process 0 sees it: --workdir must be a folder"
        " that all see. Nothing was changed."
      )
    return rollout_lib.load_arrays(self._folder, self._number, digest)

  def _begin(
    self, state: TrainState, check: Callable[[], None]
  ) -> Mapping[str, float]:
    coef = self._kl_coef
    made = self._maker.make(
      state,
      self._prompt_at,
      first_prompt=self._num_prompts,
      kl_coef=coef,
      moments=self._moments,
      check=check,
    )
    self._rollout = made.rollout
    self._moments = made.moments
    self._num_prompts += made.num_prompts
    processes.first_tells(
      lambda: rollout_lib.save_records(self._folder, self._number, made.records)
    )
    self._kl_coef = _adapted(self._config, coef, made.kl, self._samples)
    return {**made.metrics, "rollout/kl_coef": coef}

  def _cut(self, rollout: Rollout) -> RolloutBatch:
    """The samples of this update, in an order drawn for its epoch."""
    epoch, part = divmod(self._update, self._per_epoch)
    rng = np.random.default_rng([self._config.seed, self._number, epoch])
    together = self._together
    order = rng.permutation(len(rollout.scores) // together)[:, None] * together
    order = (order + np.arange(together)).reshape(-1)
    size = self._config.data.batch_size
    chosen = np.sort(order[part * size : (part + 1) * size])
    features = {name: getattr(rollout, name) for name in FEATURES}
    features |= self._weights_of(rollout)
    places = rollouts.place(self._config, rollout, chosen, self._mesh)
    return rollout_batches.pack(rollout, chosen, places, features)

  def _weights_of(self, rollout: Rollout) -> dict[str, np.ndarray]:
    """How much each token counts; computed once a rollout.

    On the device it would wait for the update that runs there.
    """
    if not self._weights:
      weighted = token_weights(
        mask=jnp.asarray(rollout.mask),
        reduction=self._config.loss.reduction,
        max_length=self._config.rollout.max_new_tokens,
      )
      self._weights = {
        "weights": np.asarray(weighted.weights),
        "counts": np.asarray(weighted.counts),
      }
    return self._weights


def _adapted(
  config: ml_collections.ConfigDict, coef: float, kl: float, samples: int
) -> float:
  """The coefficient after a rollout: the same, where it has no target."""
  loss = config.loss
  if not loss.kl_target:
    return coef
  return adaptive_kl_coef(
    kl_coef=coef,
    kl=kl,
    target=loss.kl_target,
    horizon=loss.kl_horizon,
    num_samples=samples,
  )
