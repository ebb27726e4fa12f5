# SPDX-License-Identifier: Apache-2.0
"""Checks of the text itself: marks of a template in it, and seams."""

from collections.abc import Iterator

from ramjax.data import findings
from ramjax.data.audit_data import AuditedData, all_texts, is_text, text_pairs
from ramjax.data.findings import Finding
from ramjax.data.tokenizers import Tokenizer

# Special tokens as text: of Llama 2 and Mistral, Llama 3, ChatML and GPT. A lone
# "<s>" or "</s>" may be HTML and is none.
_SPECIAL_MARKS = (
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|start_header_id|>",
  "<|eot_id|>",
  "<|im_start|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<s>[INST]",
  "[/INST]",
  "<<SYS>>",
)
# Headings that stand in a conversation only if it was rendered before; raw text
# may well be rendered on purpose.
_HEADINGS = ("### Response:", "\n\nAssistant:")
# From one row in a hundred on it is how the data was made, not what it is about.
_WARN_MARKS = 0.01
# Seams are tried on so many rows, evenly spread: it costs a tokenisation.
_SEAM_ROWS = 2000
# An odd seam is chance; many are a prompt that ends in a space.
_WARN_SEAMS = 0.05


def check_texts(data: AuditedData) -> Iterator[Finding]:
  """Marks of templates within text, and tokens that would cross a seam."""
  yield from _check_marks(data)
  yield from _check_seams(data)


def _check_marks(data: AuditedData) -> Iterator[Finding]:
  marked = []
  seen: dict[str, None] = {}
  for place, row in data.rows:
    marks = _SPECIAL_MARKS if is_text(row) else _SPECIAL_MARKS + _HEADINGS
    texts = all_texts(row)
    found = [mark for mark in marks if any(mark in text for text in texts)]
    seen |= dict.fromkeys(found)
    if found:
      marked.append(place)
  total = len(data.rows)
  if marked:
    yield Finding(
      findings.by_share(len(marked), total, warn_from=_WARN_MARKS),
      "template_marks",
      f"{findings.of(len(marked), total)} rows hold"
      f" {', '.join(repr(mark) for mark in seen)} as text.",
      "They look rendered by a chat template already; here such marks stay"
      " ordinary text, and the run's template comes on top. Take the marks out"
      " and give the turns as messages.",
      len(marked),
      total,
      findings.first(marked),
    )


def _check_seams(data: AuditedData) -> Iterator[Finding]:
  rows = [
    (place, pairs) for place, row in data.rows if (pairs := text_pairs(row))
  ]
  step = -(-len(rows) // _SEAM_ROWS)
  tried = rows[:: max(step, 1)]
  merged = [
    place
    for place, pairs in tried
    if any(merges(prompt, answer, data.tokenizer) for prompt, answer in pairs)
  ]
  if merged:
    sample = "" if len(tried) == len(rows) else f", of {len(rows):,} in all"
    spaces = sum(pairs[0][0][-1].isspace() for _, pairs in tried)
    hint = (
      f" In {findings.of(spaces, len(tried))} the prompt ends in white space."
      if spaces
      else ""
    )
    yield Finding(
      findings.by_share(len(merged), len(tried), warn_from=_WARN_SEAMS),
      "seam_merges",
      f"In {findings.of(len(merged), len(tried))} rows of raw text{sample}, the"
      " tokens of prompt and answer differ from those of the two as one text."
      + hint,
      "The model starts its answers with tokens that it never saw there in"
      " pretraining: move white space from the end of the prompt to the start"
      " of the answer.",
      len(merged),
      len(tried),
      findings.first(merged),
    )


def merges(prompt: str, answer: str, tokenizer: Tokenizer) -> bool:
  """Whether a token would cross the seam, were the two encoded as one text."""
  apart = tokenizer.encode(prompt, at_start=True)
  apart += tokenizer.encode(answer, at_start=False)
  return apart != tokenizer.encode(prompt + answer, at_start=True)
