# SPDX-License-Identifier: Apache-2.0
"""A report's samples: what the model answered, before and after."""

import itertools
from typing import NamedTuple

from ramjax.tools import report_text
from ramjax.tools.report_run import Sample

# Prompts that are open on the page, and that it holds at all.
_MOST_OPEN = 8
_MOST_SHOWN = 30
_MOST_CHARACTERS = 1000


class Pair(NamedTuple):
  """One prompt's samples at the first and at the last sampled step."""

  first: Sample | None
  last: Sample


def pair_up(samples: list[Sample]) -> list[Pair]:
  """The last step's samples, each with the same prompt's first.

  Args:
    samples: Ordered by step, then index.

  Returns:
    One pair a prompt, one of each kind in turn (so that the first few show
    every kind), else by index. `first` is None if there is but one step, or if
    that step has no sample with this index and this very prompt.
  """
  if not samples:
    return []
  first_step, last_step = samples[0].step, samples[-1].step
  before = {s.index: s for s in samples if s.step == first_step != last_step}
  kinds: dict[str | None, list[Pair]] = {}
  for last in (s for s in samples if s.step == last_step):
    first = before.get(last.index)
    if first is not None and first.prompt != last.prompt:
      first = None
    kinds.setdefault(last.kind, []).append(Pair(first, last))
  turns = itertools.zip_longest(*kinds.values())
  return [pair for turn in turns for pair in turn if pair is not None]


def samples_section(samples: list[Sample]) -> str:
  """The samples as HTML: prompt, first answer, last answer."""
  pairs = pair_up(samples)
  first_step, last_step = samples[0].step, samples[-1].step
  compared = first_step != last_step
  shown = [_row(pair, compared) for pair in pairs[:_MOST_SHOWN]]
  head = '<div class="sample head"><div>Prompt</div>'
  if compared:
    head += f"<div>Before: step {first_step:,}</div>"
  head += f"<div>{'After: s' if compared else 'S'}tep {last_step:,}</div></div>"
  rest = ""
  if len(shown) > _MOST_OPEN:
    rest = (
      f"<details><summary>{len(shown) - _MOST_OPEN} more prompts</summary>"
      f"{''.join(shown[_MOST_OPEN:])}</details>"
    )
  hint = f"{min(len(pairs), _MOST_SHOWN):,} of {len(pairs):,} prompts are here"
  if len({pair.last.kind for pair in pairs}) > 1:
    hint += ", kinds in turn and not picked by how they went"
  columns = "two" if compared else "one"
  return (
    f'<div class="card samples {columns}">{head}'
    f"{''.join(shown[:_MOST_OPEN])}{rest}"
    f'<p class="hint">{hint}.</p></div>'
  )


def _row(pair: Pair, compared: bool) -> str:
  last = pair.last
  tags = ""
  if last.kind is not None:
    kind = report_text.escaped(last.kind.replace("_", " "), 40)
    tags = f'<span class="kind">{kind}</span>'
  reference = ""
  if last.reference is not None:
    reference = (
      '<div class="reference"><span class="label">Reference</span> '
      f'<span class="text">{_text(last.reference)}</span></div>'
    )
  prompt = (
    f'<div class="pair"><div class="text">{_text(last.prompt)}</div>{tags}</div>'
    f"{reference}"
  )
  answers = [pair.first, last] if compared else [last]
  steps = ("Before", "After") if compared else ("",)
  cells = "".join(
    f'<div class="cell" data-when="{when}">{_answer(answer)}</div>'
    for when, answer in zip(steps, answers, strict=True)
  )
  return f'<div class="sample"><div class="cell">{prompt}</div>{cells}</div>'


def _answer(sample: Sample | None) -> str:
  if sample is None:
    return '<span class="hint">This prompt was not sampled then.</span>'
  marks = {
    True: '<span class="mark right">✓ verified</span>',
    False: '<span class="mark wrong">✗ not verified</span>',
    None: "",
  }
  return (
    f'<div class="pair"><div class="text">{_text(sample.response)}</div>'
    f"{marks[sample.verified]}</div>"
  )


def _text(text: str) -> str:
  if not text.strip():
    return '<span class="cut">(empty)</span>'
  return report_text.escaped(text, _MOST_CHARACTERS)
