# SPDX-License-Identifier: Apache-2.0
"""A reward model that scores what the policy samples."""

import dataclasses
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ramjax.models import heads, llama, sharding, source_params
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.trainers import rollout_batches, starting_model
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
  ):
    """Loads it.

    Args:
      start: From `choose`.
      policy: Of the policy, whose tokens it reads.
      mesh: Where it goes.
      row_length: Tokens of a row.

    Raises:
      ValueError: It has another vocabulary, or not one score.
    """
    source = start.open()
    try:
      shape = source.config
      if shape.num_labels != 1 or shape.vocab_size != policy.vocab_size:
        raise ValueError(
          f"the reward model in {start.folder} has"
          f" num_labels={shape.num_labels} and vocab_size={shape.vocab_size}:"
          " it must have one score and the policy's vocabulary of"
          f" {policy.vocab_size}."
        )
      compute = {name: getattr(policy, name) for name in COMPUTE_FIELDS}
      config = dataclasses.replace(shape, **compute)
      self._params = source_params.load_params(source, mesh, dtype=config.dtype)
    finally:
      source.close()
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
      return heads.scores(params, hidden)[..., 0]

    self._score = score

  def score(self, rollout: Rollout) -> np.ndarray:
    """[N] float32: the score at the last token of each answer.

    Raises:
      ValueError: A score is not finite.
    """
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
        jax.device_get(self._score(self._params, part))
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


def _parts(batch: Any, rows: int, mesh: Mesh) -> Any:
  for first in range(0, len(batch.tokens), rows):
    if not batch.segment_ids[first].any():
      return  # Rows that are left over come last.
    part = jax.tree.map(lambda x, at=first: x[at : at + rows], batch)
    yield sharding.place_batch(part, mesh)
