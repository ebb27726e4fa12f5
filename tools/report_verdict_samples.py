# SPDX-License-Identifier: Apache-2.0
"""Samples of a judge's verdicts on a page: answers side by side, its words."""

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ramjax.tools import report_text, report_verdicts
from ramjax.tools.report_verdicts import Verdict, Verdicts

# Characters of a text that are shown, and those that are open.
_MOST, _MOST_OPEN = 3000, 280
_MOST_PROMPTS, _MOST_PROMPTS_OPEN = 10, 3


def text(value: str | None, missing: str = "(not recorded)") -> str:
  """A stranger's text as HTML; a long one is folded behind its beginning."""
  if value is None:
    return f'<span class="cut">{missing}</span>'
  if not value.strip():
    return '<span class="cut">(empty)</span>'
  if len(value) <= _MOST_OPEN:
    return f'<div class="text">{report_text.escaped(value, _MOST)}</div>'
  start = report_text.escaped(value[:_MOST_OPEN], _MOST_OPEN)
  return (
    f'<details class="long"><summary><div class="text">{start}…</div>'
    '<span class="more">all of it</span></summary><div class="text">'
    f"{report_text.escaped(value, _MOST)}</div></details>"
  )


def table(verdicts: Verdicts) -> str:
  """A few verdicts as HTML; "" if there are none."""
  rows = report_verdicts.chosen(verdicts)
  if not rows:
    return ""
  has_words = any(row.words for row in rows)
  has_baseline = any(row.baseline is not None for row in rows)
  heads = {
    "Instruction": True,
    "Baseline's answer": has_baseline,
    "Model's answer": any(row.answer is not None for row in rows),
    f"Verdict{', and the judge&#x27;s words' if has_words else ''}": True,
  }
  # The best, the worst, and one between them.
  first = sorted({0, len(rows) // 2, len(rows) - 1})
  shown = [_row(row, heads, has_words, verdicts.tie) for row in rows]
  rest = [cells for i, cells in enumerate(shown) if i not in first]
  more = ""
  if rest:
    more = (
      f"<details><summary>{len(rest)} more verdicts</summary>{''.join(rest)}"
      "</details>"
    )
  picked = "the highest verdicts, some in the middle, and the lowest"
  if verdicts.tie is not None:
    picked = "clear wins, what is next to a tie, and clear losses"
  hint = (
    f"{len(rows):,} of {verdicts.left + len(verdicts.rows):,} verdicts on"
    f" {verdicts.parties}:"
    f" {picked}."
  )
  if not has_words:
    hint += " The judge's words are not recorded in the file."
  return (
    f'<div class="card samples verdicts">{_head(heads)}'
    f"{''.join(shown[i] for i in first)}{more}"
    f'<p class="hint">{report_text.escaped(hint, 400)}</p></div>'
  )


def _head(heads: Mapping[str, bool]) -> str:
  names = [name for name, is_shown in heads.items() if is_shown]
  cells = "".join(f"<div>{name}</div>" for name in names)
  return f'<div class="sample head c{len(names)}">{cells}</div>'


def _row(
  row: Verdict, heads: Mapping[str, bool], has_words: bool, tie: float | None
) -> str:
  words = "".join(text(word) for word in row.words)
  if has_words and not words:
    words = '<span class="cut">(its words are not recorded)</span>'
  verdict = f"<div>{_mark(row.said, row.worth, tie)}</div>{words}"
  cells = [text(row.instruction), text(row.baseline), text(row.answer), verdict]
  found = zip(heads.items(), cells, strict=True)
  shown = [(name, cell) for (name, is_shown), cell in found if is_shown]
  return _cells([cell for _, cell in shown], [name for name, _ in shown])


def _cells(cells: Sequence[str], heads: Sequence[str]) -> str:
  """Cells under their heads, which are escaped."""
  body = "".join(
    f'<div class="cell" data-head="{head}">{cell}</div>'
    for head, cell in zip(heads, cells, strict=True)
  )
  return f'<div class="sample c{len(cells)}">{body}</div>'


class Answer(NamedTuple):
  """An answer to a prompt, what is said of it, and what that is worth.

  `said` is "" for nothing, and `worth` None where answers are not rated; above
  `tie` it is good, below it bad, and None is neither.
  """

  text: str
  said: str
  worth: float | None = None
  tie: float | None = None


def same_prompts(
  answers: Mapping[str, Mapping[str, Answer]], names: Sequence[str]
) -> str:
  """Answers of several models to the same prompts, as HTML.

  Args:
    answers: Model to prompt to its answer. A model may lack prompts.
    names: The models, in their order.

  Returns:
    A row for each prompt that two or more have, those first whose answers are
    worth the most different; "" if there is none.
  """
  found = {
    prompt: [answers.get(name, {}).get(prompt) for name in names]
    for prompt in dict.fromkeys(p for n in names for p in answers.get(n, {}))
  }
  shared = [
    prompt
    for prompt, row in found.items()
    if sum(answer is not None for answer in row) > 1
  ]
  if not shared:
    return ""
  rated = any(_apart(found[prompt]) for prompt in shared)
  if rated:
    shared = _most_apart(found, shared)
  # Not `escaped`: what it says of a cut is an element, and this an attribute.
  labels = [html.escape(report_text.visible(name, 60)) for name in names]
  heads = "".join(
    f'<div><i class="swatch s{i}"></i> {label}</div>'
    for i, label in enumerate(labels)
  )
  rows = [
    _cells([text(prompt), *map(_answer, found[prompt])], ["Prompt", *labels])
    for prompt in shared[:_MOST_PROMPTS]
  ]
  more = ""
  if rest := rows[_MOST_PROMPTS_OPEN:]:
    more = (
      f"<details><summary>{len(rest)} more prompts</summary>{''.join(rest)}"
      "</details>"
    )
  order = "in the order of the files"
  if rated:
    order = "those first where they differ most, each one's best in turn"
  hint = (
    f"{len(rows):,} of {len(shared):,} prompts that two or more have answers"
  )
  return (
    f'<div class="card samples verdicts"><div class="sample head'
    f' c{len(names) + 1}"><div>Prompt</div>{heads}</div>'
    f"{''.join(rows[:_MOST_PROMPTS_OPEN])}{more}"
    f'<p class="hint">{hint} to, {order}.</p></div>'
  )


def _most_apart(
  found: Mapping[str, Sequence[Answer | None]], prompts: Sequence[str]
) -> list[str]:
  """Prompts by how far apart the answers are, the best of each side in turn."""
  by_best: dict[int, list[str]] = {}
  for prompt in sorted(prompts, key=lambda prompt: -_apart(found[prompt])):
    worths = [
      one.worth if one and one.worth is not None else -math.inf
      for one in found[prompt]
    ]
    best = worths.index(max(worths)) if _apart(found[prompt]) else -1
    by_best.setdefault(best, []).append(prompt)
  equal = by_best.pop(-1, [])
  turns = itertools.zip_longest(*(by_best[i] for i in sorted(by_best)))
  ranked = [prompt for turn in turns for prompt in turn if prompt is not None]
  return ranked + equal


def _apart(row: Sequence[Answer | None]) -> float:
  """How far apart the worths of answers are."""
  worths = [one.worth for one in row if one and one.worth is not None]
  return max(worths) - min(worths) if worths else 0.0


def _answer(answer: Answer | None) -> str:
  if answer is None:
    return '<span class="cut">(no answer to it here)</span>'
  said = ""
  if answer.said:
    said = f"<div>{_mark(answer.said, answer.worth, answer.tie)}</div>"
  return said + text(answer.text)


def _mark(said: str, worth: float | None, tie: float | None) -> str:
  """What is said, in the colour of what it is worth."""
  kind = "kind"
  if worth is not None and tie is not None and worth != tie:
    kind = "right" if worth > tie else "wrong"
  return f'<span class="mark {kind}">{report_text.escaped(said, 60)}</span>'
