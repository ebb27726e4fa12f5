# SPDX-License-Identifier: Apache-2.0
"""The 25 instructions of IFEval, and what a record must say of each.

Zhou et al. 2023, "Instruction-Following Evaluation for Large Language Models"
(arXiv 2311.07911). A record has the benchmark's own fields:
`instruction_id_list`, ids such as "punctuation:no_comma", and `kwargs`, one
object of arguments for each. Arguments that are null, or that an instruction
does not have, are passed over: some copies of the benchmark give every
instruction every argument.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.evals import (
  ifeval_case,
  ifeval_formats,
  ifeval_keywords,
  ifeval_language,
  ifeval_lengths,
)

RELATIONS = ("less than", "at least")

# A text to find in a response takes time that grows with its length too.
MAX_TEXT_LETTERS = 10_000
MAX_WORD_LETTERS = 200
MAX_WORDS = 100
MAX_COUNT = 1_000_000
MAX_INSTRUCTIONS = 100


def _is_count(value: object) -> bool:
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  return 0 <= value <= MAX_COUNT and value == int(value)


def _is_text(value: object) -> bool:
  if not isinstance(value, str):
    return False
  return len(value) <= MAX_TEXT_LETTERS and bool(value.strip())


def _is_word(value: object) -> bool:
  return _is_text(value) and len(str(value)) <= MAX_WORD_LETTERS


def _is_word_list(value: object) -> bool:
  if not isinstance(value, list | tuple) or not 0 < len(value) <= MAX_WORDS:
    return False
  return all(map(_is_word, value))


# Kind of argument -> what it must be, and the check of it.
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
  "count": (f"a whole number from 0 to {MAX_COUNT:,}", _is_count),
  "text": (f"a text of at most {MAX_TEXT_LETTERS:,} letters", _is_text),
  "word": (f"a text of at most {MAX_WORD_LETTERS} letters", _is_word),
  "words": (
    f"a list of 1 to {MAX_WORDS} texts of at most {MAX_WORD_LETTERS} letters",
    _is_word_list,
  ),
  "letter": (
    "a single character",
    lambda value: isinstance(value, str) and len(value) == 1,
  ),
  "relation": (
    f"one of {', '.join(map(repr, RELATIONS))}",
    lambda value: isinstance(value, str) and value in RELATIONS,
  ),
  "language": (
    f"one of {', '.join(sorted(ifeval_language.LANGUAGES))}",
    lambda value: isinstance(value, str) and value in ifeval_language.LANGUAGES,
  ),
}

# Id -> the check, and the kind of each of its arguments.
INSTRUCTIONS: Mapping[str, tuple[Callable[..., bool], Mapping[str, str]]] = {
  "keywords:existence": (ifeval_keywords.has_keywords, {"keywords": "words"}),
  "keywords:frequency": (
    ifeval_keywords.has_keyword_frequency,
    {"keyword": "word", "frequency": "count", "relation": "relation"},
  ),
  "keywords:forbidden_words": (
    ifeval_keywords.lacks_forbidden_words,
    {"forbidden_words": "words"},
  ),
  "keywords:letter_frequency": (
    ifeval_keywords.has_letter_frequency,
    {"letter": "letter", "let_frequency": "count", "let_relation": "relation"},
  ),
  "language:response_language": (
    ifeval_language.is_language,
    {"language": "language"},
  ),
  "length_constraints:number_sentences": (
    ifeval_lengths.has_num_sentences,
    {"num_sentences": "count", "relation": "relation"},
  ),
  "length_constraints:number_paragraphs": (
    ifeval_lengths.has_num_paragraphs,
    {"num_paragraphs": "count"},
  ),
  "length_constraints:number_words": (
    ifeval_lengths.has_num_words,
    {"num_words": "count", "relation": "relation"},
  ),
  "length_constraints:nth_paragraph_first_word": (
    ifeval_lengths.has_paragraph_first_word,
    {"num_paragraphs": "count", "nth_paragraph": "count", "first_word": "word"},
  ),
  "detectable_content:number_placeholders": (
    ifeval_formats.has_placeholders,
    {"num_placeholders": "count"},
  ),
  "detectable_content:postscript": (
    ifeval_formats.has_postscript,
    {"postscript_marker": "word"},
  ),
  "detectable_format:number_bullet_lists": (
    ifeval_formats.has_bullets,
    {"num_bullets": "count"},
  ),
  "detectable_format:constrained_response": (
    ifeval_formats.has_constrained_answer,
    {},
  ),
  "detectable_format:number_highlighted_sections": (
    ifeval_formats.has_highlights,
    {"num_highlights": "count"},
  ),
  "detectable_format:multiple_sections": (
    ifeval_formats.has_sections,
    {"section_spliter": "word", "num_sections": "count"},
  ),
  "detectable_format:json_format": (ifeval_formats.is_json, {}),
  "detectable_format:title": (ifeval_formats.has_title, {}),
  "combination:two_responses": (ifeval_formats.has_two_responses, {}),
  "combination:repeat_prompt": (
    ifeval_formats.repeats_prompt,
    {"prompt_to_repeat": "text"},
  ),
  "startend:end_checker": (ifeval_formats.has_ending, {"end_phrase": "text"}),
  "startend:quotation": (ifeval_formats.is_quoted, {}),
  "change_case:capital_word_frequency": (
    ifeval_case.has_capital_words,
    {"capital_frequency": "count", "capital_relation": "relation"},
  ),
  "change_case:english_capital": (ifeval_case.is_english_capital, {}),
  "change_case:english_lowercase": (ifeval_case.is_english_lowercase, {}),
  "punctuation:no_comma": (ifeval_formats.has_no_comma, {}),
}


def follows(
  instruction_id: str, response: str, kwargs: Mapping[str, Any]
) -> bool:
  """Whether a response follows one instruction.

  Args:
    instruction_id: A key of `INSTRUCTIONS`.
    response: Any text; the check takes time linear in it. A blank one follows
      no instruction.
    kwargs: The instruction's arguments, as a record gives them.

  Raises:
    ValueError: The id is unknown, or an argument is missing or wrong.
  """
  arguments = _arguments(instruction_id, kwargs, "kwargs")
  check, _ = INSTRUCTIONS[instruction_id]
  return bool(response.strip()) and check(response, **arguments)


def check_record(
  record: Mapping[str, Any],
) -> list[tuple[str, Mapping[str, Any]]]:
  """Returns the instructions of a record, each with its arguments.

  Raises:
    ValueError: A field is missing or wrong; the message names it.
  """
  ids = _list_field(record, "instruction_id_list")
  kwargs = _list_field(record, "kwargs")
  if len(kwargs) != len(ids):
    raise ValueError(
      f"kwargs has {len(kwargs)} entries and instruction_id_list {len(ids)}:"
      " give one object of arguments for each instruction, {} if it has none."
    )
  return [
    (name, _arguments(name, given, f"kwargs[{i}]"))
    for i, (name, given) in enumerate(zip(ids, kwargs, strict=True))
  ]


def _list_field(record: Mapping[str, Any], field: str) -> Sequence[Any]:
  value = record.get(field)
  if not isinstance(value, list | tuple):
    raise ValueError(
      f"{field} is {_describe(value)}: an IFEval record has a list there; add"
      " it, or use another reward for this record."
    )
  if not 0 < len(value) <= MAX_INSTRUCTIONS:
    raise ValueError(
      f"{field} has {len(value)} entries: it must have 1 to {MAX_INSTRUCTIONS}."
    )
  return value


def _arguments(name: object, given: object, where: str) -> dict[str, Any]:
  """The arguments that an instruction has, checked; `where` they were."""
  if not isinstance(name, str) or name not in INSTRUCTIONS:
    raise ValueError(
      f"instruction_id_list has {_describe(name)}, which is no instruction of"
      f" IFEval. Known: {', '.join(INSTRUCTIONS)}."
    )
  if not isinstance(given, Mapping):
    raise ValueError(
      f"{where} is {_describe(given)}: it must be an object with the arguments"
      f" of {name}."
    )
  arguments = {}
  for argument, kind in INSTRUCTIONS[name][1].items():
    allowed, is_valid = _KINDS[kind]
    value: Any = given.get(argument)
    if not is_valid(value):
      raise ValueError(
        f"{where}[{argument!r}] is {_describe(value)}: {name} needs {allowed}"
        " there; correct the record."
      )
    # A table with nulls makes numbers of counts: 3.0.
    arguments[argument] = int(value) if kind == "count" else value
  return arguments


def _describe(value: object) -> str:
  """A value for a message, short; None is what a missing field gives."""
  if value is None:
    return "missing or null"
  text = repr(value) if isinstance(value, str | int | float) else ""
  return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"
