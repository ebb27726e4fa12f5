# SPDX-License-Identifier: Apache-2.0
"""Rows as the doctor shows them: tokens, what is supervised, what was cut."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ramjax.data import audit_data, group_rows, tokenize_rows
from ramjax.data.audit_data import AuditedData, AuditedSource
from ramjax.data.findings import Finding, Place
from ramjax.data.rows import ChatRow, JudgedRow, PromptRow, Row, TextRow
from ramjax.data.tokenize_groups import Group
from ramjax.data.tokenize_rows import Example
from ramjax.data.tokenizers import Tokenizer

# Characters outside ASCII take up to four bytes, each maybe a token.
_MOST_BYTES = 4
# Longer texts are not searched for what was cut: the search is quadratic.
_MOST_COMPARED = 20_000


class Piece(NamedTuple):
  """A token, or the few that one character is spelt with.

  Attributes:
    text: What it says, as decoded.
    kind: "prompt", "supervised" or "cut".
    special: Whether it is a special token.
  """

  text: str
  kind: str
  special: bool = False


class Section(NamedTuple):
  """A prompt, an answer, or a whole conversation.

  Attributes:
    title: What it is; "" for a conversation.
    pieces: Its tokens.
  """

  title: str
  pieces: list[Piece]


class ShownRow(NamedTuple):
  """One row.

  Attributes:
    place: Where it stands.
    facts: Lines: of each sequence its tokens, supervised ones, BOS, EOS.
    sections: What it holds.
  """

  place: Place
  facts: list[str]
  sections: list[Section]


def choose(
  data: AuditedData, findings: Sequence[Finding], num_rows: int
) -> list[tuple[AuditedSource, int]]:
  """The first rows of each source, and those that findings name.

  Args:
    data: All of it.
    findings: Whose examples are wanted, too; () for none.
    num_rows: From each source.

  Returns:
    (source, number of the example), each once, in order.
  """
  named = {place for finding in findings for place in finding.examples}
  return [
    (source, i)
    for source in data.sources
    for i in range(len(source.examples))
    if i < num_rows or source.place(i) in named
  ]


def show(data: AuditedData, source: AuditedSource, index: int) -> ShownRow:
  """Decodes an example token by token.

  Args:
    data: The tokenizer and template are read.
    source: Of the example.
    index: Its number there.
  """
  example = source.examples[index]
  row = None
  if source.row_ids is not None:
    row = source.rows[source.row_ids[index]]
  whole = None
  if example.num_truncated and row is not None:
    whole = _uncut(data, row)
  answered = audit_data.answers_of_example(example)
  titles = _titles(example, row)
  facts = [
    _facts(one, title, data.tokenizer)
    for one, title in zip(answered, titles, strict=False)
  ]
  if example.num_truncated:
    facts.append(f"{example.num_truncated:,} tokens cut to fit")
  return ShownRow(
    place=source.place(index),
    facts=facts,
    sections=list(_sections(example, whole, titles, data.tokenizer)),
  )


def _uncut(data: AuditedData, row: Row) -> Example | Group | None:
  """The example as it would be with room for all."""
  if isinstance(row, ChatRow | TextRow):
    return tokenize_rows.tokenize_row(
      row,
      template=data.template,
      tokenizer=data.tokenizer,
      max_length=sys.maxsize,
    )
  # Prompts without answers are refused before.
  assert not isinstance(row, PromptRow)
  return group_rows.to_group(
    row,
    template=data.template,
    tokenizer=data.tokenizer,
    max_length=sys.maxsize,
  )


def _titles(example: Example | Group, row: Row | None) -> list[str]:
  """What each sequence of an example is called."""
  if isinstance(example, Example):
    return [""]
  if "margins" in example.features:
    return ["chosen", "rejected"]
  if isinstance(row, JudgedRow):
    return ["answer after the judged prompt", "answer after the plain prompt"]
  if "labels" in example.features:
    return ["desirable" if example.features["labels"][0] else "undesirable"]
  if "targets" in example.features:
    ratings = ", ".join(f"{x:g}" for x in example.features["targets"])
    return [f"rated {ratings}"]
  return [f"answer {k + 1}" for k in range(example.size)]


def _facts(one: audit_data.Answered, title: str, tokenizer: Tokenizer) -> str:
  parts = [
    f"{len(one.tokens):,} tokens",
    f"{int(one.mask.sum()):,} supervised",
  ]
  for name, id_ in (("BOS", tokenizer.bos_id), ("EOS", tokenizer.eos_id)):
    if id_ is not None:
      parts.append(f"{int((one.tokens == id_).sum())} {name}")
  return f"{title}: {', '.join(parts)}" if title else ", ".join(parts)


def _sections(
  example: Example | Group,
  whole: Example | Group | None,
  titles: Sequence[str],
  tokenizer: Tokenizer,
) -> Iterator[Section]:
  """The shared prompt once, then each answer; a conversation in one."""
  if isinstance(example, Example):
    full = whole.tokens if isinstance(whole, Example) else None
    pieces = _pieces(example.tokens, example.response_mask, full, tokenizer)
    yield Section("", pieces)
    return
  uncut = (
    whole if isinstance(whole, Group) and _same_form(whole, example) else None
  )
  for k, title in enumerate(titles):
    if k < len(example.prompts):
      prompt = example.prompts[k]
      full = uncut.prompts[k] if uncut else None
      mask = np.zeros(len(prompt), bool)
      yield Section("prompt", _pieces(prompt, mask, full, tokenizer))
    yield Section(
      title,
      _pieces(
        example.responses[k],
        example.response_masks[k],
        uncut.responses[k] if uncut else None,
        tokenizer,
      ),
    )


def _same_form(whole: Group, example: Group) -> bool:
  """A row that was taken apart has other answers than its examples."""
  return whole.features.keys() == example.features.keys() and len(
    whole.prompts
  ) == len(example.prompts)


def _pieces(
  tokens: np.ndarray,
  mask: np.ndarray,
  whole: np.ndarray | None,
  tokenizer: Tokenizer,
) -> list[Piece]:
  """Tokens with what was cut of them put back where it stood."""
  kept = [("supervised" if m else "prompt") for m in mask]
  if whole is None or max(len(whole), len(tokens)) > _MOST_COMPARED:
    return _decode(tokens.tolist(), kept, tokenizer)
  ids: list[int] = []
  kinds: list[str] = []
  matcher = difflib.SequenceMatcher(
    None, whole.tolist(), tokens.tolist(), autojunk=False
  )
  for operation, i, i_end, j, j_end in matcher.get_opcodes():
    if operation in ("delete", "replace"):
      ids += whole[i:i_end].tolist()
      kinds += ["cut"] * (i_end - i)
    ids += tokens[j:j_end].tolist()
    kinds += kept[j:j_end]
  return _decode(ids, kinds, tokenizer)


def _decode(
  ids: Sequence[int], kinds: Sequence[str], tokenizer: Tokenizer
) -> list[Piece]:
  """One piece a token; tokens that spell one character stay together."""
  pieces = []
  start = 0
  while start < len(ids):
    stop = start + 1
    text = tokenizer.decode(ids[start:stop], keep_special=True)
    while (
      "\ufffd" in text
      and stop < min(len(ids), start + _MOST_BYTES)
      and kinds[stop] == kinds[start]
    ):
      stop += 1
      text = tokenizer.decode(ids[start:stop], keep_special=True)
    special = not tokenizer.decode(ids[start:stop]) and bool(text)
    pieces.append(Piece(text, kinds[start], special))
    start = stop
  return pieces
