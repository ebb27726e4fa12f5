# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training: held-out perplexity, verified answers, samples."""

from typing import Any

import ml_collections
from jax.sharding import Mesh

from ramjax.data import batches as batches_lib
from ramjax.evals import perplexity
from ramjax.models import sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers.held_out_answers import HeldOutAnswers
from ramjax.trainers.sft_data import SFTData
from ramjax.trainers.state import TrainState
from ramjax.trainers.step import Objective

_BASELINE = "eval/unigram_perplexity"


class HeldOut:
  """The held-out rows of a run and how a model does on them."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    data: SFTData,
    mesh: Mesh,
    objective: Objective,
  ):
    """Batches the held-out rows and picks the prompts to answer.

    Args:
      config: Of the run: `data`, `evals` and `loss.chunk_size` are read.
      model_config: Of the model.
      data: The run's rows; nothing is held out if `data.held_out` is empty.
      mesh: Where batches go.
      objective: Of the run; perplexity needs no more than the model.
    """
    del objective
    self._batches = []
    if data.held_out:
      self._batches = [
        sharding.place_batch(batch, mesh)
        for batch in batches_lib.eval_batches(
          data.held_out,
          length=config.data.max_length,
          batch_size=config.data.batch_size // config.data.num_microbatches,
          pack=config.data.pack,
        )
      ]
    self._eval_step = perplexity.make_eval_step(
      model_config, chunk_size=config.loss.chunk_size
    )
    self._baseline: dict[str, float] = {}
    if data.held_out:
      self._baseline[_BASELINE] = perplexity.unigram_perplexity(
        [e.tokens[e.response_mask] for source in data.train for e in source],
        [e.tokens[e.response_mask] for e in data.held_out],
        vocab_size=model_config.vocab_size,
      )

    self._answers = HeldOutAnswers(
      config,
      model_config,
      data.tokenizer,
      data.held_out_rows,
      data.held_out_records,
    )

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    params = state.eval_params
    metrics = dict(self._baseline)
    if self._batches:
      scores = perplexity.perplexity(params, self._batches, self._eval_step)
      metrics.update({f"eval/{name}": v for name, v in scores.items()})
    shares, samples = self._answers.evaluate(params, step)
    return {**metrics, **shares}, samples
