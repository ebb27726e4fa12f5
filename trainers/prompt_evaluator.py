# SPDX-License-Identifier: Apache-2.0
"""Evaluation of an online run: answers to held-out prompts, and their scores.

They are greedy, as a reader gets them; on demand also sampled as in a rollout,
which is what training improves.
"""

from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from ramjax.evals import rewards as rewards_lib
from ramjax.evals import verified_accuracy
from ramjax.evals.answers import Answer
from ramjax.evals.sample_seeds import sample_seed
from ramjax.models import sampler
from ramjax.models.config import LlamaConfig
from ramjax.models.sampling_options import SamplingOptions
from ramjax.trainers import critic, sampled_groups
from ramjax.trainers.prompt_data import PromptData
from ramjax.trainers.state import TrainState


class PromptEvaluator:
  """What the answers to held-out prompts are worth."""

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
    self._seed = config.seed
    max_tokens = min(config.evals.max_new_tokens, room)
    self._greedy = SamplingOptions(
      temperature=0.0, max_tokens=max_tokens, stop_tokens=data.stop_tokens
    )
    self._as_in_rollouts = None
    if config.evals.sample:
      self._as_in_rollouts = sampled_groups.sampling_options(
        config, data.stop_tokens, min(config.rollout.max_new_tokens, room)
      )

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and the greedy samples for `samples.jsonl`."""
    if not self._asked:
      return {}, []
    metrics = {}
    if self._as_in_rollouts is not None:
      answers = self._answer(state, self._as_in_rollouts)
      of_sampled, _ = self._judge(answers)
      metrics = {f"eval/sampled/{k}": value for k, value in of_sampled.items()}
    answers = self._answer(state, self._greedy)
    of_greedy, verdicts = self._judge(answers)
    metrics |= {f"eval/{name}": value for name, value in of_greedy.items()}
    return metrics, self._shown(answers, verdicts, step)

  def _answer(
    self, state: TrainState, options: SamplingOptions
  ) -> list[Answer]:
    samples = sampler.sample(
      critic.without(state.eval_params),
      self._model_config,
      [
        # The same draws at every evaluation: what differs is the model.
        sampler.Request(prompt.tokens, options, sample_seed(self._seed, i, 0))
        for i, prompt in enumerate(self._asked)
      ],
      num_slots=self._num_slots,
      vocab_size=self._tokenizer.vocab_size,
    )
    return sampled_groups.to_answers(
      self._asked, samples, self._tokenizer, options.stop_tokens
    )

  def _judge(
    self, answers: Sequence[Answer]
  ) -> tuple[dict[str, float], Sequence[bool | None]]:
    """Figures of answers, and whether each is right where that is known."""
    metrics: dict[str, float] = {}
    if self._terms:
      scores = sampled_groups.score(self._terms, answers)
      metrics["score"] = float(scores.total.mean())
      for name, part in scores.parts.items():
        metrics[f"rewards/{name}"] = float(part.mean())
    metrics["finished"] = float(np.mean([a.finished for a in answers]))
    metrics["response_tokens"] = float(np.mean([a.num_tokens for a in answers]))
    records = [prompt.record for prompt in self._asked]
    verdicts = verified_accuracy.verify_responses(
      records, [answer.response for answer in answers]
    )
    metrics |= verified_accuracy.verified_accuracy(records, verdicts)
    return metrics, verdicts

  def _shown(
    self,
    answers: Sequence[Answer],
    verdicts: Sequence[bool | None],
    step: int,
  ) -> list[dict[str, Any]]:
    return [
      {
        "step": step,
        "index": i,
        "prompt": answers[i].prompt[-1].content,
        "response": answers[i].response,
        "reference": None,
        "kind": None
        if verdicts[i] is None
        else self._asked[i].record["task"]["kind"],
        "verified": verdicts[i],
      }
      for i in range(min(self._num_samples, len(answers)))
    ]
