# SPDX-License-Identifier: Apache-2.0
"""The answers of a round: several to each of its prompts, in a file."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from ramjax.data.rows import Message, Text
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.evals.answers import Answer
from ramjax.evals.sample_seeds import sample_seed
from ramjax.models import llama, sampler, sharding, source_params
from ramjax.models.config import LlamaConfig
from ramjax.models.sampling_options import SamplingOptions
from ramjax.trainers import round_files, sampled_groups
from ramjax.trainers.prompt_data import Prompt, PromptData
from ramjax.trainers.starting_model import Start

Condition = Callable[[Text], Text]
# Answers of a chunk, for each slot of the sampler: a kill costs one chunk, and
# at the end of a chunk slots stand idle.
_ANSWERS_PER_SLOT = 4


def chunk_size(config: ml_collections.ConfigDict) -> int:
  """Prompts that are answered, and scored, at a time."""
  answers = _ANSWERS_PER_SLOT * config.rollout.num_slots
  return max(1, answers // config.rollout.group_size)


class Policies:
  """The newest models, loaded when they are asked for; one is kept."""

  def __init__(self, config: ml_collections.ConfigDict, model: LlamaConfig):
    """Loads nothing.

    Args:
      config: Of a run in rounds.
      model: The shape that all of its policies have.
    """
    ways = config.rollout.tensor_parallel
    self.mesh: Mesh = sharding.make_mesh(
      config.mesh.to_dict() if ways is None else {"data": -1, "tensor": ways}
    )
    self.config = dataclasses.replace(model, remat="none")
    # Raises where the model does not divide.
    llama.param_shardings(self.config, self.mesh)
    self._start: Start | None = None
    self._params: Any = None

  def load(self, start: Start) -> Any:
    """The parameters of a model."""
    if start != self._start:
      self.clear()
      with start.reading() as source:
        self._params = source_params.load_params(
          source, self.mesh, dtype=self.config.dtype
        )
      self._start = start
    return self._params

  def clear(self) -> None:
    """Makes room for a fit."""
    self._start = self._params = None


class Asker:
  """Asks a policy the prompts of a run."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    policies: Policies,
    data: PromptData,
  ):
    """Remembers how.

    Args:
      config: Of a run in rounds.
      policies: What is asked.
      data: Of the run: its tokenizer and the ids that end an answer.
    """
    self._config = config
    self._policies = policies
    self._data = data

  def options(self, **fields: Any) -> SamplingOptions:
    """Sampling options with the ids that end an answer."""
    return SamplingOptions(stop_tokens=self._data.stop_tokens, **fields)

  def ask(
    self,
    start: Start,
    prompts: Sequence[Prompt],
    options: SamplingOptions,
    *,
    seeds: Sequence[int],
    condition: Condition | None,
  ) -> tuple[list[Answer], list[np.ndarray]]:
    """Answers and the tokens of each.

    Args:
      start: The model that answers.
      prompts: One for each answer.
      options: From `options`.
      seeds: One for each answer.
      condition: What is put into the prompts before they are asked. Rewards do
        not see it.

    Raises:
      NonFiniteError: The model gives no probabilities.
    """
    policies = self._policies
    params = policies.load(start)
    with jax.set_mesh(policies.mesh):
      samples = sampler.sample(
        params,
        policies.config,
        [
          sampler.Request(self.tokens(prompt, condition), options, seed)
          for prompt, seed in zip(prompts, seeds, strict=True)
        ],
        num_slots=self._config.rollout.num_slots,
        vocab_size=self._data.tokenizer.vocab_size,
      )
    sampled_groups.refuse_broken(samples)
    answers = sampled_groups.to_answers(
      prompts, samples, self._data.tokenizer, self._data.stop_tokens
    )
    return answers, [sample.tokens for sample in samples]

  def tokens(self, prompt: Prompt, condition: Condition | None) -> np.ndarray:
    """What is asked: [P] int32 ids, with what `condition` puts in."""
    if condition is None:
      return prompt.tokens
    told = condition(prompt.text)
    assert not isinstance(told, str)
    return tokenize_prompt(
      told,
      template=self._config.data.template,
      tokenizer=self._data.tokenizer,
    )


def sample(
  config: ml_collections.ConfigDict,
  folder: pathlib.Path,
  number: int,
  asker: Asker,
  policy: Start,
  prompt_at: Callable[[int], Prompt],
  *,
  condition: Condition | None,
  before_chunk: Callable[[], None],
) -> None:
  """Writes the answers of a round, or the rest of them.

  Args:
    config: Of a run in rounds.
    folder: Of the round.
    number: Of the round, from 1: it takes the prompts after those before it.
    asker: Asks them.
    policy: The model that answers.
    prompt_at: The prompt of each number.
    condition: See `Asker.ask`.
    before_chunk: See `round_files.write_in_chunks`.
  """
  options = config.rollout
  size = options.group_size
  sampling = asker.options(
    temperature=options.temperature,
    top_k=options.top_k,
    top_p=options.top_p,
    min_p=options.min_p,
    max_tokens=options.max_new_tokens,
  )

  def make(items: range) -> list[dict[str, Any]]:
    first = (number - 1) * options.prompts
    numbers = [first + item for item in items for _ in range(size)]
    places = [k for _ in items for k in range(size)]
    prompts = [prompt_at(n) for n in numbers]
    answers, tokens = asker.ask(
      policy,
      prompts,
      sampling,
      seeds=[
        sample_seed(config.seed, n, k)
        for n, k in zip(numbers, places, strict=True)
      ],
      condition=condition,
    )
    return [
      {
        "number": numbers[i],
        "sample": places[i],
        "prompt": _to_json(prompts[i].text),
        "asked": condition and _to_json(condition(prompts[i].text)),
        "response": answer.response,
        "finished": answer.finished,
        "num_tokens": answer.num_tokens,
        "tokens": tokens[i].tolist(),
      }
      for i, answer in enumerate(answers)
    ]

  round_files.write_in_chunks(
    folder / round_files.SAMPLES,
    make,
    num_items=options.prompts,
    rows_per_item=size,
    chunk=chunk_size(config),
    before_chunk=before_chunk,
  )


def _to_json(prompt: Text) -> Any:
  if isinstance(prompt, str):
    return prompt
  return [{"role": turn.role, "content": turn.content} for turn in prompt]


def from_json(prompt: Any) -> Text:
  """A prompt as `sample` wrote it."""
  if isinstance(prompt, str):
    return prompt
  return tuple(Message(turn["role"], turn["content"]) for turn in prompt)
