# SPDX-License-Identifier: Apache-2.0
"""Evaluation of an online run: greedy answers to held-out prompts, and scores."""

from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from ramjax.evals import rewards as rewards_lib
from ramjax.evals import verified_accuracy
from ramjax.models import sampler
from ramjax.models.config import LlamaConfig
from ramjax.models.sampling_options import SamplingOptions
from ramjax.trainers import critic, sampled_groups
from ramjax.trainers.prompt_data import PromptData
from ramjax.trainers.state import TrainState


class PromptEvaluator:
  """What greedy answers to held-out prompts are worth."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    data: PromptData,
    terms: Sequence[rewards_lib.Term],
  ):
    """Picks the prompts to answer.

    Args:
      config: Of the run: `data`, `evals` and `rollout` are read.
      model_config: Of the policy.
      data: The run's prompts; nothing is evaluated if none are held out.
      terms: The rewards; a reward model is not among them.
    """
    self._asked = data.held_out[: config.evals.num_prompts]
    self._model_config = model_config
    self._tokenizer = data.tokenizer
    self._terms = tuple(terms)
    self._num_slots = config.rollout.num_slots
    self._num_samples = config.evals.num_samples
    room = config.data.max_length - max(
      [len(prompt.tokens) for prompt in self._asked], default=0
    )
    self._options = SamplingOptions(
      temperature=0.0,
      max_tokens=min(config.evals.max_new_tokens, room),
      stop_tokens=data.stop_tokens,
    )

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    if not self._asked:
      return {}, []
    samples = sampler.sample(
      critic.without(state.eval_params),
      self._model_config,
      [sampler.Request(p.tokens, self._options) for p in self._asked],
      num_slots=self._num_slots,
      vocab_size=self._tokenizer.vocab_size,
    )
    answers = sampled_groups.to_answers(
      self._asked, samples, self._tokenizer, self._options.stop_tokens
    )
    metrics: dict[str, float] = {}
    if self._terms:
      scores = rewards_lib.score(self._terms, answers)
      metrics["eval/score"] = float(scores.total.mean())
      for name, part in scores.parts.items():
        metrics[f"eval/rewards/{name}"] = float(part.mean())
    metrics["eval/finished"] = float(np.mean([a.finished for a in answers]))
    metrics["eval/response_tokens"] = float(
      np.mean([a.num_tokens for a in answers])
    )
    records = [prompt.record for prompt in self._asked]
    verdicts = verified_accuracy.verify_responses(
      records, [answer.response for answer in answers]
    )
    shares = verified_accuracy.verified_accuracy(records, verdicts)
    metrics |= {f"eval/{name}": value for name, value in shares.items()}
    shown = [
      {
        "step": step,
        "index": i,
        "prompt": answers[i].prompt[-1].content,
        "response": answers[i].response,
        "reference": None,
        "kind": None if verdicts[i] is None else records[i]["task"]["kind"],
        "verified": verdicts[i],
      }
      for i in range(min(self._num_samples, len(answers)))
    ]
    return metrics, shown
