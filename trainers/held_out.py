# SPDX-License-Identifier: Apache-2.0
"""Evaluation during training: held-out perplexity, verified answers, samples."""

from typing import Any

import ml_collections
from jax.sharding import Mesh

from ramjax.data import batches as batches_lib
from ramjax.data import sources
from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.evals import perplexity, responses, verified_accuracy
from ramjax.models import sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers.sft_data import SFTData

_BASELINE = "eval/unigram_perplexity"
_ANSWERED_AT_A_TIME = 64


class HeldOut:
  """The held-out rows of a run and how a model does on them."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    data: SFTData,
    mesh: Mesh,
  ):
    """Batches the held-out rows and picks the prompts to answer.

    Args:
      config: Of the run: `data`, `evals` and `loss.chunk_size` are read.
      model_config: Of the model.
      data: The run's rows; nothing is held out if `data.held_out` is empty.
      mesh: Where batches go.
    """
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
      model_config,
      chunk_size=config.loss.chunk_size,
      num_shards=sharding.num_batch_shards(mesh),
    )
    self._baseline: dict[str, float] = {}
    if data.held_out:
      self._baseline[_BASELINE] = perplexity.unigram_perplexity(
        [e.tokens[e.response_mask] for source in data.train for e in source],
        [e.tokens[e.response_mask] for e in data.held_out],
        vocab_size=model_config.vocab_size,
      )

    def num_tokens(prompt: tuple[Message, ...]) -> int:
      encoded = tokenize_prompt(
        prompt, template=config.data.template, tokenizer=data.tokenizer
      )
      return len(encoded)

    # A prompt beyond the training length would only measure that.
    asked = []
    for record, row in zip(
      data.held_out_records, data.held_out_rows, strict=True
    ):
      if len(asked) == config.evals.num_prompts:
        break
      pair = sources.prompt_and_reference(row)
      if pair is not None and num_tokens(pair[0]) <= config.data.max_length:
        asked.append((record, *pair))
    self._asked = asked
    self._respond = responses.make_responder(
      model_config,
      tokenizer=data.tokenizer,
      template=config.data.template,
      max_new_tokens=config.evals.max_new_tokens,
      batch_size=max(1, min(_ANSWERED_AT_A_TIME, len(asked))),
    )
    self._num_samples = config.evals.num_samples

  def evaluate(
    self, params: Any, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    metrics = dict(self._baseline)
    if self._batches:
      scores = perplexity.perplexity(params, self._batches, self._eval_step)
      metrics.update({f"eval/{name}": v for name, v in scores.items()})
    if not self._asked:
      return metrics, []
    records, prompts, references = zip(*self._asked, strict=True)
    answers = self._respond(params, prompts)
    verdicts = verified_accuracy.verify_responses(records, answers)
    shares = verified_accuracy.verified_accuracy(records, verdicts)
    metrics.update({f"eval/{name}": v for name, v in shares.items()})
    samples = [
      {
        "step": step,
        "index": i,
        "prompt": prompts[i][-1].content,
        "response": answers[i],
        "reference": references[i],
        "kind": None if verdicts[i] is None else records[i]["task"]["kind"],
        "verified": verdicts[i],
      }
      for i in range(min(self._num_samples, len(answers)))
    ]
    return metrics, samples
