# SPDX-License-Identifier: Apache-2.0
"""From records with graded answers to rows: ranked, rated or judged in words.

As in `parse_rows`, nothing about a record is assumed, and keys beside those of
its format are ignored.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.data import record_fields, turns
from ramjax.data.rows import JudgedRow, RankedRow, RatedRow, RowError

RANKED_FORMATS = (
  '{"prompt": ..., "completions": [...], "scores": [...]}',
  '{"prompt": ..., "completions": [...]} with the best first',
)
RATED_FORMATS = (
  '{"prompt": ..., "completion" or "response": ..., ATTRIBUTE: number|null}',
)
JUDGED_FORMATS = (
  '{"prompt": ..., "completion": ..., "judgement": "..."|null}',
  "the same with a label of true or false",
)

# The attributes of HelpSteer and HelpSteer2, rated from 0 to 4.
HELPSTEER_ATTRIBUTES = (
  "helpfulness",
  "correctness",
  "coherence",
  "complexity",
  "verbosity",
)


def parse_ranked(record: object) -> RankedRow:
  """Parses a record that holds two answers or more to one prompt.

  With `scores`, one for each of the completions, the higher is the better;
  without, the completions are taken to be in order, the best first.

  Raises:
    RowError: The record is no such row, or leaves two answers unranked: by
      equal scores, or because they are the same.
  """
  record = record_fields.parse_object(record)
  if not {"prompt", "completions"} <= record.keys():
    record_fields.refuse_keys(record, RANKED_FORMATS)
  given = record["completions"]
  if not isinstance(given, list | tuple) or len(given) < 2:
    found = f"a list of {len(given)}" if isinstance(given, list | tuple) else ""
    raise RowError(
      f"completions is {found or turns.describe(given)}, not a list of at least"
      " two answers: add some, or drop the row"
    )
  answers = {f"completions[{i}]": answer for i, answer in enumerate(given)}
  prompt, *completions = record_fields.prompt_and_answers(
    {"prompt": record["prompt"], **answers}, *answers
  )
  if len(set(completions)) < len(completions):
    raise RowError(
      "completions holds the same answer twice, and neither can be the better:"
      " remove one"
    )
  if "scores" in record:
    scores = _parse_scores(record["scores"], len(completions))
    ranked = sorted(zip(scores, range(len(scores)), strict=True), reverse=True)
    completions = [completions[index] for _, index in ranked]
  return RankedRow(prompt, tuple(completions))


def parse_rated(
  record: object, attributes: Sequence[str] = HELPSTEER_ATTRIBUTES
) -> RatedRow:
  """Parses a record that holds an answer and ratings of its attributes.

  Args:
    record: What may be such a record. The answer is its `completion` or, as in
      HelpSteer2, its `response`.
    attributes: The keys of the ratings. A rating that is null or absent is
      none; one of them must be there.

  Raises:
    RowError: The record is no such row.
  """
  record = record_fields.parse_object(record)
  field = "completion" if "completion" in record else "response"
  if not {"prompt", field} <= record.keys():
    record_fields.refuse_keys(record, RATED_FORMATS)
  ratings = tuple(_parse_rating(record.get(key), key) for key in attributes)
  if all(math.isnan(rating) for rating in ratings):
    raise RowError(
      f"no rating was found under {', '.join(attributes)}: add one, name the"
      " attributes that the data has, or drop the row"
    )
  prompt, completion = record_fields.prompt_and_answers(record, field)
  return RatedRow(prompt, completion, ratings)


def parse_judged(record: object) -> JudgedRow:
  """Parses a record that holds an answer and a judgement of it, in words.

  A `judgement`, or `judgment`, that is null or absent says that the answer is
  fine. With one the answer is taken to be amiss, unless `label` is true.

  Raises:
    RowError: The record is no such row.
  """
  record = record_fields.parse_object(record)
  if not {"prompt", "completion"} <= record.keys():
    record_fields.refuse_keys(record, JUDGED_FORMATS)
  field = "judgement" if "judgement" in record else "judgment"
  judgement = ""
  if record.get(field) is not None:
    judgement = turns.parse_text(record[field], field)
    if not judgement.strip():
      raise RowError(
        f"{field} is {'blank' if judgement else 'empty'}: write null where the"
        " answer is fine, and what is wrong with it where it is not"
      )
  label = _parse_label(record, judgement)
  prompt, completion = record_fields.prompt_and_answers(record, "completion")
  return JudgedRow(prompt, completion, judgement, label)


def _parse_scores(value: object, num_answers: int) -> list[float]:
  """Parses one score for each answer, all different."""
  if not isinstance(value, list | tuple) or len(value) != num_answers:
    found = f"a list of {len(value)}" if isinstance(value, list | tuple) else ""
    raise RowError(
      f"scores is {found or turns.describe(value)}, and there are {num_answers}"
      " completions: write a list of one number for each, or leave it out if"
      " the completions are in order, the best first"
    )
  scores = [
    record_fields.parse_number(score, f"scores[{index}]")
    for index, score in enumerate(value)
  ]
  for one, next_one in itertools.pairwise(sorted(scores)):
    if one == next_one:
      raise RowError(
        f"scores holds {one:g} more than once, and a ranking has no ties: keep"
        " one answer of each score, or drop the row"
      )
  return scores


def _parse_rating(value: object, key: str) -> float:
  if value is None:
    return math.nan
  return record_fields.parse_number(value, key)


def _parse_label(record: Mapping[str, Any], judgement: str) -> bool:
  """Returns whether the answer is fine."""
  label = record.get("label", not judgement)
  if not isinstance(label, bool):
    raise RowError(
      f"label is {turns.describe(label)}, not a boolean: write true for an"
      " answer that is fine and false for one that is not, or leave it out"
    )
  if not label and not judgement:
    raise RowError(
      "label is false and there is no judgement, so nothing says what is wrong:"
      " add one, or train with an algorithm for unpaired rows"
    )
  return label
