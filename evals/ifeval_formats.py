# SPDX-License-Identifier: Apache-2.0
"""IFEval's instructions on format, content, start and end (arXiv 2311.07911).

The patterns are those of the released checkers; where one would take quadratic
time on hostile text, the same is found by a search that does not. Differences:
a section's or postscript's marker is a text, not a regular expression; a line
that is a single asterisk is no bullet.
"""

import json
import re

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

_HIGHLIGHT = re.compile(r"\*[^\n*]*+\*")
_STRONG_HIGHLIGHT = re.compile(r"\*\*[^\n*]*+\*\*")
# Of the text in small letters.
_POSTSCRIPTS = {
  "P.S.": re.compile(r"p\.\s?s\."),
  "P.P.S": re.compile(r"p\.\s?p\.\s?s"),
}
_FENCES = ("```json", "```Json", "```JSON", "```")


def has_placeholders(text: str, *, num_placeholders: int) -> bool:
  """Whether there are at least as many `[...]`, each within a line."""
  count = 0
  for line in text.split("\n"):
    start = line.find("[")
    # Past the last "]" nothing closes: do not look again for every "[".
    while start >= 0 and (end := line.find("]", start)) >= 0:
      count += 1
      start = line.find("[", end)
  return count >= num_placeholders


def has_postscript(text: str, *, postscript_marker: str) -> bool:
  """Whether the marker is there, whatever its case, with spaces in "P. S."."""
  marker = postscript_marker.strip()
  lower = text.lower()
  if marker in _POSTSCRIPTS:
    return bool(_POSTSCRIPTS[marker].search(lower))
  return marker.lower() in lower


def has_bullets(text: str, *, num_bullets: int) -> bool:
  """Whether exactly as many lines start with `*` (not `**`) or `-`."""
  lines = (line.lstrip() for line in text.split("\n"))
  stars_or_dashes = (
    line.startswith("-") or (line[:1] == "*" and line[1:2] not in ("", "*"))
    for line in lines
  )
  return sum(stars_or_dashes) == num_bullets


def has_constrained_answer(text: str) -> bool:
  """Whether one of the three allowed answers is in the text."""
  return any(answer in text for answer in _ANSWERS)


def has_highlights(text: str, *, num_highlights: int) -> bool:
  """Whether there are at least as many `*...*` or `**...**`, none blank."""
  marked = [*_HIGHLIGHT.findall(text), *_STRONG_HIGHLIGHT.findall(text)]
  return sum(bool(part.strip("*").strip()) for part in marked) >= num_highlights


def has_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
  """Whether the marker with a number, "Section 1", is there as often or more."""
  pattern = re.compile(re.escape(section_spliter.strip()) + r"\s?\d+")
  return sum(1 for _ in pattern.finditer(text)) >= num_sections


def is_json(text: str) -> bool:
  """Whether the text is one JSON value, in a Markdown fence or not.

  Values nested too deep for Python's parser are none.
  """
  text = text.strip()
  # In turn, as the released checker does: at most one is there.
  for fence in _FENCES:
    text = text.removeprefix(fence)
  text = text.removesuffix("```").strip()
  try:
    # Numbers stay text: making one of very many digits is refused or slow.
    json.loads(text, parse_int=str, parse_float=str)
  except (ValueError, RecursionError):
    return False
  return True


def has_title(text: str) -> bool:
  """Whether a line has `<<...>>` with something inside."""
  for line in text.split("\n"):
    start, end = line.find("<<"), line.rfind(">>")
    if 0 <= start < end - 2:
      title = line[start : end + 2].lstrip("<").rstrip(">")
      if title.strip():
        return True
  return False


def has_two_responses(text: str) -> bool:
  """Whether `******` parts the text into two different answers.

  The text may begin or end with a divider; between two there must be text.
  """
  first, *inner = (part.strip() for part in text.split("******"))
  last = inner.pop() if inner else ""
  if not all(inner):
    return False
  answers = [part for part in (first, *inner, last) if part]
  return len(answers) == 2 and answers[0] != answers[1]


def repeats_prompt(text: str, *, prompt_to_repeat: str) -> bool:
  """Whether the text starts with the prompt, whatever its case."""
  return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def has_ending(text: str, *, end_phrase: str) -> bool:
  """Whether the text, but for quotation marks, ends with the phrase."""
  ending = end_phrase.strip().lower()
  return text.strip().strip('"').lower().endswith(ending)


def is_quoted(text: str) -> bool:
  """Whether the text starts and ends with a double quotation mark."""
  text = text.strip()
  return len(text) > 1 and text[0] == text[-1] == '"'


def has_no_comma(text: str) -> bool:
  """Whether there is no comma; those of other scripts are none."""
  return "," not in text
