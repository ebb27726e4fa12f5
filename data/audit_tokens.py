# SPDX-License-Identifier: Apache-2.0
"""Checks of what the model is given: where texts begin and end, and the mask."""

from collections.abc import Iterator

import numpy as np

from ramjax.data import findings, templates
from ramjax.data.audit_data import Answered, AuditedData
from ramjax.data.findings import Finding, Place, Severity
from ramjax.data.rows import Message

# Under this share of supervised tokens, a run computes fifty to learn from one.
_LOW_MASK_SHARE = 0.02
# Above it, of rows that have prompts: an answer of 100 tokens to a prompt of
# none but its headers has less.
_HIGH_MASK_SHARE = 0.98

_PROBE = (
  Message("user", "a"),
  Message("assistant", "b"),
  Message("user", "c"),
  Message("assistant", "d", supervised=True),
)


def check_tokens(data: AuditedData) -> Iterator[Finding]:
  """BOS, the end of answers, and the supervised share."""
  yield from _check_bos(data)
  yield from _check_ends(data)
  yield from _check_mask(data)


def _check_bos(data: AuditedData) -> Iterator[Finding]:
  bos = data.tokenizer.bos_id
  if bos is None:
    return  # Such models (Qwen2) never saw one.
  spans = templates.render(_PROBE, template=data.template)
  num_bos = sum(span.special and span.text == "bos" for span in spans)
  missing, doubled, inside = [], [], []
  for place, one in data.answered:
    found = np.flatnonzero(one.tokens == bos)
    if one.tokens[0] != bos:
      missing.append(place)
    elif (found == 1).any():
      doubled.append(place)
    if _stray_bos(one, found, data.tokenizer.eos_id, num_bos > 1):
      inside.append(place)
  total = len(data.answered)
  if missing:
    by_template = num_bos == 0 and data.has_chats
    reason = f": template={data.template!r} writes none" if by_template else ""
    yield Finding(
      Severity.WARNING if by_template else Severity.ERROR,
      "bos_missing",
      f"{findings.of(len(missing), total)} sequences do not begin with the"
      f" tokenizer's BOS{reason}.",
      "A model that was pretrained with BOS answers worse without it: choose a"
      " template that begins with BOS, unless this model was trained without.",
      len(missing),
      total,
      findings.first(missing),
    )
  if doubled:
    yield Finding(
      Severity.ERROR,
      "bos_twice",
      f"{findings.of(len(doubled), total)} sequences begin with BOS twice.",
      "Remove the BOS that is written into the rows or added by the tokenizer:"
      " the template writes one.",
      len(doubled),
      total,
      findings.first(doubled),
    )
  if inside:
    yield Finding(
      Severity.ERROR,
      "bos_inside",
      f"{findings.of(len(inside), total)} sequences hold a BOS in their midst.",
      "A BOS starts a text and tells the model to forget what stood before:"
      " remove it from the rows.",
      len(inside),
      total,
      findings.first(inside),
    )


def _stray_bos(
  one: Answered, found: np.ndarray, eos: int | None, every_exchange: bool
) -> bool:
  """Whether a BOS stands where neither a text nor (llama2) an exchange begins."""
  later = found[found > 1]
  if every_exchange:
    later = later[one.tokens[later - 1] != eos]
  return bool(later.size)


def _check_ends(data: AuditedData) -> Iterator[Finding]:
  unended: list[Place] = []
  empty: list[Place] = []
  for place, one in data.answered:
    is_end = data.is_end[one.tokens]
    ended = is_end[_last_supervised(one.mask)]
    # Truncation takes the end of the last answer, and only that.
    required = ended[:-1] if one.was_cut else ended
    if not required.all():
      unended.append(place)
    if not (one.mask & ~is_end).any():
      empty.append(place)
  total = len(data.answered)
  if unended:
    names = [data.tokenizer.decode([i], keep_special=True) for i in data.ends]
    yield Finding(
      Severity.ERROR,
      "end_missing",
      f"In {findings.of(len(unended), total)} sequences an answer that was not"
      f" cut does not end in a supervised {' or '.join(sorted(names))}.",
      "The model would not learn to stop: the template must end every answer"
      " with that token and supervise it.",
      len(unended),
      total,
      findings.first(unended),
    )
  if empty:
    yield Finding(
      Severity.ERROR,
      "empty_answers",
      f"{findings.of(len(empty), total)} sequences supervise nothing, or nothing"
      " but the token that ends an answer.",
      "They teach the model to say nothing: drop these rows, or raise"
      " data.max_length if truncation left no answer.",
      len(empty),
      total,
      findings.first(empty),
    )


def _last_supervised(mask: np.ndarray) -> np.ndarray:
  """Positions at which a run of supervised tokens ends."""
  ends = mask.copy()
  ends[:-1] &= ~mask[1:]
  return np.flatnonzero(ends)


def _check_mask(data: AuditedData) -> Iterator[Finding]:
  tokens = sum(len(one.tokens) for _, one in data.answered)
  supervised = sum(int(one.mask.sum()) for _, one in data.answered)
  places = [place for place, _ in data.answered]
  shares = np.array([one.mask.mean() for _, one in data.answered])
  if supervised < _LOW_MASK_SHARE * tokens:
    yield Finding(
      Severity.WARNING,
      "mask_share_low",
      f"Only {findings.of(supervised, tokens)} tokens are supervised.",
      "Nearly all of the computation reads prompts: check that the answers are"
      " where they should be, shorten prompts, or share them.",
      supervised,
      tokens,
      findings.first([places[i] for i in np.argsort(shares, kind="stable")]),
    )
  if supervised > _HIGH_MASK_SHARE * tokens and data.have_prompts:
    yield Finding(
      Severity.WARNING,
      "mask_share_high",
      f"{findings.of(supervised, tokens)} tokens are supervised, though the rows"
      " have prompts.",
      "The prompts look as if they were part of the answers: check the fields"
      " of the rows.",
      supervised,
      tokens,
      findings.first([places[i] for i in np.argsort(-shares, kind="stable")]),
    )
