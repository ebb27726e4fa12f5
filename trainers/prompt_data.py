# SPDX-License-Identifier: Apache-2.0
"""The data of an online run: prompts, as tokens, with the record of each."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ml_collections
import numpy as np

from ramjax.data import parse_prompts, sources, templates
from ramjax.data.encode import encode_prompt
from ramjax.data.rows import Message, PromptRow, Text
from ramjax.data.tokenizers import Tokenizer
from ramjax.trainers import run_tokenizer


@dataclasses.dataclass(frozen=True)
class Prompt:
  """A prompt that is sampled from.

  Attributes:
    tokens: [P] int32.
    text: As it was asked for, and as rows hold it: raw text or a conversation.
    record: The raw record.
  """

  tokens: np.ndarray
  text: Text
  record: Mapping[str, Any]

  @property
  def messages(self) -> tuple[Message, ...]:
    """The conversation; raw text is one user turn."""
    if isinstance(self.text, str):
      return (Message("user", self.text),)
    return self.text


@dataclasses.dataclass(frozen=True)
class PromptData:
  """What an online run samples from and is evaluated on.

  Attributes:
    train: Prompts of each source.
    weights: Relative weight of each source.
    held_out: Prompts of all held-out rows.
    tokenizer: The run's tokenizer.
    stop_tokens: Ids that end an answer.
    summary: Per source: path, fingerprint, rows read, quarantined, too long.
  """

  train: list[list[Prompt]]
  weights: list[float]
  held_out: list[Prompt]
  tokenizer: Tokenizer
  stop_tokens: tuple[int, ...]
  summary: dict[str, dict[str, Any]]


def load_prompt_data(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  *,
  vocab_size: int,
  condition: Callable[[Text], Text] | None = None,
) -> PromptData:
  """Loads, splits and tokenises the prompts of `config.data.sources`.

  A prompt that leaves no room in `data.max_length` for `rollout.max_new_tokens`
  is left out and counted: cut, it would ask for something else. So is one that
  leaves none with what `condition` puts into it.

  Args:
    config: Of the run: `data`, `rollout` and `tokenizer` are read.
    workdir: Gets a copy of the tokenizer, and the quarantine files.
    vocab_size: Of the model; the tokenizer's must not be larger.
    condition: What a prompt may be told before it is asked; see
      `select.Selection`.

  Returns:
    `PromptData`.

  Raises:
    ValueError: No sources, bad rows, no prompt short enough, or a tokenizer too
      large for the model.
    FileNotFoundError: A file of the config does not exist.
  """
  if not config.data.sources:
    raise ValueError(
      "data.sources is empty: name at least one, such as"
      " data.sources.main = dict(path=..., weight=1.0, eval_rows=0)."
    )
  room = config.data.max_length - config.rollout.max_new_tokens
  if room < 1:
    raise ValueError(
      f"rollout.max_new_tokens={config.rollout.max_new_tokens} leaves no room for"
      f" a prompt in data.max_length={config.data.max_length}: raise the latter."
    )
  loaded = [
    sources.load_source(
      name,
      source.path,
      parse=parse_prompts.parse_prompt_row,
      eval_rows=source.eval_rows,
      eval_path=source.eval_path,
      max_bad_share=config.data.max_bad_share,
      quarantine_dir=workdir / "quarantine",
    )
    for name, source in sorted(config.data.sources.items())
  ]
  tokenizer = run_tokenizer.choose_tokenizer(
    config,
    workdir,
    [row for source in loaded for row in source.train],
    vocab_size=vocab_size,
  )

  def tokenize(rows: Sequence[PromptRow]) -> list[Prompt]:
    template = config.data.template
    prompts = [_tokenize(row, template, tokenizer) for row in rows]
    return [
      prompt
      for prompt in prompts
      if len(prompt.tokens) <= room
      and (
        condition is None
        or len(_ids(condition(prompt.text), template, tokenizer)) <= room
      )
    ]

  train, held_out, summary = [], [], {}
  for source in loaded:
    kept, kept_out = tokenize(source.train), tokenize(source.held_out)
    if not kept:
      raise ValueError(
        f"every prompt of data.sources.{source.name} is longer"
        f"{' with the phrase of select' if condition else ''} than the {room}"
        " tokens that data.max_length - rollout.max_new_tokens leaves: raise"
        " data.max_length."
      )
    train.append(kept)
    held_out.append(kept_out)
    summary[source.name] = {
      **source.summary,
      "prompts_too_long": len(source.train) - len(kept),
      "held_out_prompts_too_long": len(source.held_out) - len(kept_out),
      "tokens": sum(len(prompt.tokens) for prompt in kept),
    }
  # Raw text ends with the EOS, whatever the template.
  ends = (*templates.end_of_turn_tokens(config.data.template), "eos")
  return PromptData(
    train=train,
    weights=[config.data.sources[source.name].weight for source in loaded],
    held_out=sources.in_turn(held_out),
    tokenizer=tokenizer,
    stop_tokens=tuple(
      dict.fromkeys(tokenizer.special_id(name) for name in ends)
    ),
    summary=summary,
  )


def _tokenize(row: PromptRow, template: str, tokenizer: Tokenizer) -> Prompt:
  ids = _ids(row.prompt, template, tokenizer)
  if not len(ids):
    raise ValueError(
      "a prompt is empty, and the tokenizer has no BOS to begin an answer with:"
      " drop the row."
    )
  return Prompt(np.asarray(ids, np.int32), row.prompt, row.record)


def _ids(text: Text, template: str, tokenizer: Tokenizer) -> Sequence[int]:
  if not isinstance(text, str):
    return encode_prompt(text, template, tokenizer).tokens
  # Some tokenizers (Qwen2's) have no BOS: their models never saw one.
  bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
  return bos + tokenizer.encode(text, at_start=True)
