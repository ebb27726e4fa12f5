# SPDX-License-Identifier: Apache-2.0
"""A reward model that scores what the policy samples."""

import dataclasses
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramjax.models import heads, llama, run_adapters, sharding, source_params
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.trainers import rollout_batches, shared_base, starting_model
from ramjax.trainers.rollout import Rollout

# Rows that are scored at a time, on each device.
_ROWS = 8


class RewardModel:
  """Scores of answers by a model with one score."""

  def __init__(
    self,
    start: starting_model.Start,
    policy: LlamaConfig,
    mesh: Mesh,
    *,
    row_length: int,
    adapters: run_adapters.Adapters | None = None,
  ):
    """Loads it.

    Args:
      start: From `choose`.
      policy: Of the policy, whose tokens it reads.
      mesh: Where it goes.
      row_length: Tokens of a row.
      adapters: From `shared_base.find`, where the model is adapters on the
        policy's base: `score` is then given that base, and none is loaded.

    Raises:
      ValueError: It has another vocabulary, or not one score.
    """
    if adapters is not None:
      config = adapters.config
      _check(config, policy, start)
      self._params = shared_base.on_mesh(adapters, mesh)
    else:
      with start.reading() as source:
        _check(source.config, policy, start)
        compute = {name: getattr(policy, name) for name in COMPUTE_FIELDS}
        config = dataclasses.replace(source.config, **compute)
        self._params = source_params.load_params(
          source, mesh, dtype=config.dtype
        )
    self._shares_base = adapters is not None
    self._folder = start.folder
    self._mesh = mesh
    self._row_length = row_length

    @jax.jit
    def score(params: Any, batch: Any) -> jax.Array:
      hidden = llama.apply(
        params,
        config,
        batch.tokens,
        positions=batch.positions,
        segment_ids=batch.segment_ids,
      )
      scores = heads.scores(params, hidden)[..., 0]
      # Whole on every device, so that each process can read it.
      return jax.lax.with_sharding_constraint(
        scores, NamedSharding(mesh, PartitionSpec())
      )

    self._score = score

  def score(self, rollout: Rollout, frozen: Any) -> np.ndarray:
    """[N] float32: the score at the last token of each answer.

    Args:
      rollout: N answers.
      frozen: The policy's base, on the mesh; read where it is shared, and None
        where there is none.

    Raises:
      ValueError: A score is not finite.
    """
    params = self._params
    if self._shares_base:
      params = shared_base.joined(params, frozen)
    rows = _ROWS * sharding.num_batch_shards(self._mesh)
    chosen = np.arange(len(rollout.scores))
    places = rollout_batches.place(
      rollout.prompt_lengths,
      rollout.response_lengths,
      row_length=self._row_length,
      multiple=rows,
    )
    batch = rollout_batches.pack(rollout, chosen, places, {})
    scores = np.concatenate(
      [
        jax.device_get(self._score(params, part))
        for part in _parts(batch, rows, self._mesh)
      ]
    )
    at = places.firsts + rollout.response_lengths
    last = scores[places.rows, at].astype(np.float32)
    if not np.isfinite(last).all():
      raise ValueError(
        f"the reward model in {self._folder} gave a score that is not finite:"
        " its weights are damaged, or overflow in model.dtype."
      )
    return last


def choose(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> starting_model.Start | None:
  """The reward model that `config.reward_model` names, if it names one.

  Raises:
    ValueError: Fields that contradict each other.
    FileNotFoundError: There is no such folder or checkpoint.
  """
  start = starting_model.choose_from(
    config.reward_model, "reward_model", workdir, recorded_as="reward_model"
  )
  return None if start.folder is None else start


def _check(
  shape: LlamaConfig, policy: LlamaConfig, start: starting_model.Start
) -> None:
  if shape.num_labels != 1 or shape.vocab_size != policy.vocab_size:
    raise ValueError(
      f"the reward model in {start.folder} has num_labels={shape.num_labels} and"
      f" vocab_size={shape.vocab_size}: it must have one score and the policy's"
      f" vocabulary of {policy.vocab_size}."
    )


def _parts(batch: Any, rows: int, mesh: Mesh) -> Any:
  for first in range(0, len(batch.tokens), rows):
    if not batch.segment_ids[first].any():
      return  # Rows that are left over come last.
    part = jax.tree.map(lambda x, at=first: x[at : at + rows], batch)
    yield sharding.place_batch(part, mesh)
