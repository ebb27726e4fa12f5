# SPDX-License-Identifier: Apache-2.0
"""Samples as answers for people and rewards, and as arrays, group by group."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import rewards as rewards_lib
from ramjax.evals.answer_text import AnswerText
from ramjax.evals.answers import Answer
from ramjax.models import sampler
from ramjax.models.sampling_options import SamplingOptions
from ramjax.trainers import processes, run_error
from ramjax.trainers.prompt_data import Prompt
from ramjax.trainers.rollout import Rollout


def sampling_options(
  config: ml_collections.ConfigDict,
  stop_tokens: tuple[int, ...],
  max_tokens: int,
) -> SamplingOptions:
  """How `config.rollout` draws tokens."""
  options = config.rollout
  return SamplingOptions(
    temperature=options.temperature,
    top_k=options.top_k,
    top_p=options.top_p,
    min_p=options.min_p,
    max_tokens=max_tokens,
    stop_tokens=stop_tokens,
  )


def to_answers(
  prompts: Sequence[Prompt],
  samples: Sequence[sampler.Sample],
  tokenizer: Tokenizer,
  stop_tokens: Sequence[int],
) -> list[Answer]:
  """What rewards see of samples, one for each prompt.

  White space around an answer goes where a chat template put it. Behind raw
  text it stays: a row that is made of both joins them without any between.

  Args:
    prompts: N of them.
    samples: One of each.
    tokenizer: Reads them.
    stop_tokens: Ids that end an answer and are no part of its text.
  """

  def text(prompt: Prompt, tokens: np.ndarray) -> str:
    raw = isinstance(prompt.text, str)
    return AnswerText(tokenizer, ends=stop_tokens, strip=not raw).whole(tokens)

  return [
    Answer(
      prompt=prompt.messages,
      response=text(prompt, sample.tokens),
      record=prompt.record,
      finished=sample.finished,
      num_tokens=len(sample.tokens),
    )
    for prompt, sample in zip(prompts, samples, strict=True)
  ]


def score(
  terms: Sequence[rewards_lib.Term], answers: Sequence[Answer]
) -> rewards_lib.Scores:
  """What answers are worth: as `rewards.score`, by the first process for all.

  A reward may run the code of an answer, ask a server or draw a number.

  Args:
    terms: The rewards.
    answers: N of them.
  """

  def of_first() -> dict[str, Any]:
    scores = rewards_lib.score(terms, answers)
    return {
      "total": scores.total.tolist(),
      "parts": {name: part.tolist() for name, part in scores.parts.items()},
    }

  told = processes.first_tells(of_first)
  return rewards_lib.Scores(
    total=np.array(told["total"], np.float32),
    parts={
      name: np.array(part, np.float32) for name, part in told["parts"].items()
    },
  )


def refuse_broken(samples: Sequence[sampler.Sample]) -> None:
  """Raises before anything is made of tokens that were drawn from NaN.

  Raises:
    NonFiniteError: A sample's log-probabilities are not finite.
  """
  if not all(np.isfinite(sample.drawn_logps).all() for sample in samples):
    raise run_error.NonFiniteError(
      "the policy's probabilities are not finite, so nothing can be sampled: the"
      " updates so far broke it. Go on from an earlier checkpoint with a lower"
      " optim.learning_rate, or set optim.clip_norm."
    )


@dataclasses.dataclass(frozen=True)
class Group:
  """The answers to one prompt."""

  answers: list[Answer]
  rollout: Rollout
  scores: rewards_lib.Scores

  @property
  def varies(self) -> bool:
    """Whether one answer is worth more than another."""
    return bool(np.ptp(self.scores.total) > 0)


@dataclasses.dataclass(frozen=True)
class Sampled:
  """The answers of a rollout, group after group."""

  answers: list[Answer]
  rollout: Rollout
  scores: rewards_lib.Scores


def unassessed(
  prompts: Sequence[Prompt],
  samples: Sequence[sampler.Sample],
  max_new_tokens: int,
) -> Rollout:
  """Samples as arrays; what is computed of them comes later, and is 0.

  Args:
    prompts: N of them.
    samples: One of each, of at least one token.
    max_new_tokens: R, the width of the answers.
  """
  num = len(samples)
  longest = max(len(prompt.tokens) for prompt in prompts)
  tokens = np.zeros((num, longest), np.int32)
  responses = np.zeros((num, max_new_tokens), np.int32)
  drawn = np.zeros((num, max_new_tokens), np.float32)
  for i, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
    tokens[i, : len(prompt.tokens)] = prompt.tokens
    responses[i, : len(sample.tokens)] = sample.tokens
    drawn[i, : len(sample.tokens)] = sample.drawn_logps
  zeros = np.zeros((num, max_new_tokens), np.float32)
  return Rollout(
    prompts=tokens,
    prompt_lengths=np.array([len(p.tokens) for p in prompts], np.int32),
    responses=responses,
    response_lengths=np.array([len(s.tokens) for s in samples], np.int32),
    drawn_logps=drawn,
    old_logps=zeros,
    ref_logps=zeros,
    values=zeros,
    advantages=zeros,
    returns=zeros,
    scores=np.zeros(num, np.float32),
  )


def rows_of(rollout: Rollout, rows: slice) -> Rollout:
  """Some answers of a rollout."""
  return Rollout(
    **{
      field.name: getattr(rollout, field.name)[rows]
      for field in dataclasses.fields(rollout)
    }
  )


def together(groups: Sequence[Group]) -> Sampled:
  """Groups, whose prompts may be of several widths, as one rollout."""
  longest = max(group.rollout.prompts.shape[1] for group in groups)

  def widened(array: np.ndarray, name: str) -> np.ndarray:
    if name != "prompts":
      return array
    return np.pad(array, ((0, 0), (0, longest - array.shape[1])))

  rollout = Rollout(
    **{
      field.name: np.concatenate(
        [widened(getattr(g.rollout, field.name), field.name) for g in groups]
      )
      for field in dataclasses.fields(Rollout)
    }
  )
  parts = {
    name: np.concatenate([group.scores.parts[name] for group in groups])
    for name in groups[0].scores.parts
  }
  total = np.concatenate([group.scores.total for group in groups])
  return Sampled(
    [answer for group in groups for answer in group.answers],
    rollout,
    rewards_lib.Scores(total, parts),
  )
