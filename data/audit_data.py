# SPDX-License-Identifier: Apache-2.0
"""The data of a run as an audit looks at it: one form for all algorithms."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from ramjax.data import sources, split, templates
from ramjax.data.findings import Place
from ramjax.data.rows import ChatRow, Message, Row, Text
from ramjax.data.tokenize_groups import Group
from ramjax.data.tokenize_rows import Example
from ramjax.data.tokenizers import Tokenizer


class RunData(Protocol):
  """What an algorithm's `load_data` returns, as far as an audit reads it."""

  @property
  def train(self) -> Sequence[Sequence[Any]]:
    """`Example`s or `Group`s of each source."""
    ...

  @property
  def train_rows(self) -> Sequence[Sequence[Row]]:
    """The rows that they were made of."""
    ...

  @property
  def held_out_rows(self) -> Sequence[Row]:
    """The rows to evaluate on."""
    ...

  @property
  def tokenizer(self) -> Tokenizer:
    """The run's tokenizer."""
    ...

  @property
  def summary(self) -> Mapping[str, Mapping[str, Any]]:
    """Counts by the name of the source, in the order of `train`."""
    ...


class Answered(NamedTuple):
  """A prompt with one answer, as the model is given it.

  Attributes:
    tokens: [n] int32 ids.
    mask: [n] bool, True where the token is supervised.
    was_cut: Whether anything of the row was cut to fit.
  """

  tokens: np.ndarray
  mask: np.ndarray
  was_cut: bool


@dataclasses.dataclass(frozen=True)
class AuditedSource:
  """One source of rows to train on.

  Attributes:
    name: Its name in the config.
    rows: Its rows.
    examples: What was made of them.
    counts: From the run's summary.
    row_ids: The row of each example; None where that is not known.
  """

  name: str
  rows: Sequence[Row]
  examples: Sequence[Example | Group]
  counts: Mapping[str, Any]
  row_ids: Sequence[int] | None

  def place(self, example: int) -> Place:
    """Where an example comes from."""
    if self.row_ids is None:
      return Place(self.name, example, "example")
    return Place(self.name, self.row_ids[example])


@dataclasses.dataclass(frozen=True)
class AuditedData:
  """All that an audit looks at.

  Attributes:
    sources: To train on.
    held_out_rows: To evaluate on.
    tokenizer: The run's.
    template: Of the run's chats.
    max_length: Longest prompt and answer.
    pack: Whether several examples share a row of a batch.
  """

  sources: Sequence[AuditedSource]
  held_out_rows: Sequence[Row]
  tokenizer: Tokenizer
  template: str
  max_length: int
  pack: bool

  @functools.cached_property
  def answered(self) -> list[tuple[Place, Answered]]:
    """Every prompt with each of its answers."""
    return [
      (source.place(i), one)
      for source in self.sources
      for i, example in enumerate(source.examples)
      for one in answers_of_example(example)
    ]

  @functools.cached_property
  def rows(self) -> list[tuple[Place, Row]]:
    """Every row to train on."""
    return [
      (Place(source.name, i), row)
      for source in self.sources
      for i, row in enumerate(source.rows)
    ]

  @functools.cached_property
  def ends(self) -> set[int]:
    """The ids that end an answer: of raw text, and of the template's turns."""
    names = {"eos"} if self.has_text else set()
    if self.has_chats:
      names.add(templates.end_of_turn_tokens(self.template)[0])
    return {self.tokenizer.special_id(name) for name in names}

  @functools.cached_property
  def is_end(self) -> np.ndarray:
    """[vocab_size] bool, True at `ends`: to look up many tokens at once."""
    found = np.zeros(self.tokenizer.vocab_size, bool)
    found[list(self.ends)] = True
    return found

  @functools.cached_property
  def has_chats(self) -> bool:
    """Whether any row is a conversation."""
    return not all(is_text(row) for _, row in self.rows)

  @functools.cached_property
  def has_text(self) -> bool:
    """Whether any row is raw text."""
    return any(is_text(row) for _, row in self.rows)

  @functools.cached_property
  def have_prompts(self) -> bool:
    """Whether most rows have something before the answer."""
    return 2 * sum(has_prompt(row) for _, row in self.rows) > len(self.rows)


def of_run(
  data: RunData,
  *,
  template: str,
  max_length: int,
  pack: bool,
  row_ids: Sequence[Sequence[int]] | None = None,
) -> AuditedData:
  """The data of a run for an audit.

  Args:
    data: From the algorithm's `load_data`.
    template: `config.data.template`.
    max_length: `config.data.max_length`.
    pack: `config.data.pack`.
    row_ids: By source, the row of each example. Without it, a source with as
      many examples as rows has them in the same order, and examples of another
      are named by their own numbers.
  """
  audited = []
  for i, (name, counts) in enumerate(data.summary.items()):
    ids = row_ids[i] if row_ids is not None else None
    if ids is None and len(data.train[i]) == len(data.train_rows[i]):
      ids = range(len(data.train_rows[i]))
    audited.append(
      AuditedSource(name, data.train_rows[i], data.train[i], counts, ids)
    )
  return AuditedData(
    sources=audited,
    held_out_rows=data.held_out_rows,
    tokenizer=data.tokenizer,
    template=template,
    max_length=max_length,
    pack=pack,
  )


def answers_of_example(example: Example | Group) -> list[Answered]:
  """Prompt and answer joined, for each of the answers."""
  if isinstance(example, Example):
    was_cut = example.num_truncated > 0
    return [Answered(example.tokens, example.response_mask, was_cut)]
  found = []
  # KTO's second answer belongs to another prompt and is cut without a count
  # (`group_rows.with_mismatched`): it is no data of this row.
  lent = "labels" in example.features and len(example.prompts) == 1
  own = example.responses[:1] if lent else example.responses
  for k, response in enumerate(own):
    prompt = example.prompts[k % len(example.prompts)]
    mask = np.concatenate(
      [np.zeros(len(prompt), bool), example.response_masks[k]]
    )
    tokens = np.concatenate([prompt, response])
    found.append(Answered(tokens, mask, example.num_truncated > 0))
  return found


def is_text(row: Row) -> bool:
  """Whether a row is raw text, to which no template is applied."""
  return not isinstance(row, ChatRow) and isinstance(row.prompt, str)


def has_prompt(row: Row) -> bool:
  """Whether anything stands before the first supervised token."""
  if isinstance(row, ChatRow):
    return not row.messages[0].supervised
  return bool(row.prompt)


def prompt_key(row: Row) -> str:
  """The prompt without what makes no difference to a reader.

  White space and case are levelled, so that a copy with another line break is
  still a copy.
  """
  return _levelled(split.prompt_text(row))


def answer_texts(row: Row) -> list[str]:
  """The answers of a row as plain text; of a conversation, supervised turns."""
  if isinstance(row, ChatRow):
    return [turn.content for turn in row.messages if turn.supervised]
  return [_plain(answer) for answer in sources.answers_of(row)]


def answer_keys(row: Row) -> list[str]:
  """`answer_texts`, levelled as `prompt_key`."""
  return [_levelled(text) for text in answer_texts(row)]


def all_texts(row: Row) -> list[str]:
  """Every text of a row, prompt and answers, turn by turn."""
  if isinstance(row, ChatRow):
    return [turn.content for turn in row.messages]
  parts: list[str | Message] = []
  for text in (row.prompt, *sources.answers_of(row)):
    parts += [text] if isinstance(text, str) else text
  return [part if isinstance(part, str) else part.content for part in parts]


def text_pairs(row: Row) -> list[tuple[str, str]]:
  """Prompt and answer of raw text that has both; none of a conversation."""
  if isinstance(row, ChatRow) or not isinstance(row.prompt, str):
    return []
  answers = [a for a in sources.answers_of(row) if isinstance(a, str)]
  return [(row.prompt, answer) for answer in answers if row.prompt]


def _plain(answer: Text) -> str:
  if isinstance(answer, str):
    return answer
  return "\n\n".join(turn.content for turn in answer)


def _levelled(text: str) -> str:
  return " ".join(text.split()).casefold()
