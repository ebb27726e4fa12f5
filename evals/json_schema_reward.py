# SPDX-License-Identifier: Apache-2.0
"""Whether an answer is JSON that satisfies a JSON Schema."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ramjax.data import strict_json
from ramjax.evals import ground_truth
from ramjax.evals.answers import Answer

# Bounds the time of a schema's own regular expressions, too.
MAX_CHARACTERS = 100_000

_FENCE = "```json"
# Keywords that use a schema again: with two in one place, the work doubles
# with every level of the answer. Only they can make it more than linear.
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_MAX_REFERENCES = 20_000
# Keywords whose values are data, not schemas.
_DATA = ("const", "enum", "default", "examples")


def json_schema_reward(
  answers: Sequence[Answer],
  *,
  schema: dict | str | None = None,
  field: str = "schema",
) -> list[float]:
  """1.0 for an answer that is JSON and satisfies its schema, else 0.0.

  The answer is one JSON value and nothing else, or its last ```json fence is.
  NaN, duplicate keys, nesting of more than 64 levels, integers of more than
  400 digits and answers of more than 100,000 characters are no JSON here. An
  answer whose check would take more than 20,000 uses of `$ref` gets 0.0.

  Args:
    answers: What is scored.
    schema: For all answers, as an object or as JSON text; None for each row's.
    field: Of the rows, where `schema` is None: an object, or JSON text.

  Returns:
    1.0 or 0.0 an answer.

  Raises:
    ValueError: A schema is missing or not a valid one, or refers to another
      document: nothing is ever fetched.
  """
  ours = None if schema is None else _validator(schema, "option schema")
  made: dict[int, Callable[[Any], bool]] = {}
  scores = []
  for index, answer in enumerate(answers):
    satisfies = ours
    if satisfies is None:
      value = ground_truth.truth_field(
        answer.record, field, reward="json_schema", index=index
      )
      # Answers to one prompt share their record.
      if id(value) not in made:
        made[id(value)] = _validator(value, f"field {field!r}, answer {index}")
      satisfies = made[id(value)]
    given = json_of(answer.response)
    scores.append(float(given is not NO_JSON and satisfies(given)))
  return scores


class _NoJson:
  """What `json_of` returns for a text without JSON: None is a JSON value."""


NO_JSON = _NoJson()


def json_of(response: str) -> Any:
  """Returns the JSON value a response consists of, or its last fence holds.

  Returns:
    The value; `NO_JSON` if there is none.
  """
  if len(response) > MAX_CHARACTERS:
    return NO_JSON
  value = _decode(response)
  if value is NO_JSON and _FENCE in response:
    fenced = response.rpartition(_FENCE)[2]
    body, closing, _ = fenced.partition("```")
    value = _decode(body) if closing else NO_JSON
  return value


def _decode(text: str) -> Any:
  start = strict_json.skip_space(text, 0)
  try:
    value, end = strict_json.StrictDecoder().decode(text, start)
  except json.JSONDecodeError:
    return NO_JSON
  whole = strict_json.skip_space(text, end) == len(text)
  is_error = isinstance(value, strict_json.RecordError)
  return NO_JSON if is_error or not whole else value


def _validator(schema: Any, where: str) -> Callable[[Any], bool]:
  """Returns a function that checks a value; it fetches nothing."""
  import jsonschema
  import jsonschema.validators
  import referencing
  import referencing.exceptions

  if isinstance(schema, str):
    schema = _decode(schema)
  if not isinstance(schema, dict | bool):
    raise ValueError(
      f"rewards.json_schema has no schema ({where}): it must be an object, or"
      " JSON text of one."
    )
  draft: Any = jsonschema.validators.validator_for(
    schema, default=jsonschema.Draft202012Validator
  )
  try:
    draft.check_schema(schema)
  except jsonschema.SchemaError as error:
    raise ValueError(
      f"rewards.json_schema ({where}) is not a valid JSON Schema:"
      f" {error.message[:200]}. Correct it."
    ) from None
  for reference in _references(schema):
    if not reference.startswith("#"):
      raise ValueError(
        f"rewards.json_schema ({where}) refers to {reference!r:.200}, and"
        " nothing is fetched: copy it into the schema's '$defs' and refer to"
        " '#/$defs/<name>'."
      )
  work = _Work()
  keywords = {
    name: work.counted(draft.VALIDATORS[name])
    for name in _REFERENCES
    if name in draft.VALIDATORS
  }
  keywords["uniqueItems"] = _unique_items
  # Without a registry of its own, jsonschema opens a remote $ref by HTTP.
  validator = jsonschema.validators.extend(draft, keywords)(
    schema, registry=referencing.Registry()
  )

  def satisfies(value: Any) -> bool:
    work.left = _MAX_REFERENCES
    try:
      return validator.is_valid(value)
    # An integer of hundreds of digits, by a `multipleOf` with a fraction.
    except (_TooMuchWorkError, OverflowError, RecursionError):
      return False
    except referencing.exceptions.Unresolvable as error:
      raise ValueError(
        f"rewards.json_schema ({where}) refers to {error.ref!r:.200}, which it"
        " does not have: add it to the schema."
      ) from None

  return satisfies


class _TooMuchWorkError(Exception):
  """A schema uses itself again and again on one answer."""


class _Work:
  """Bounds how often references are followed in the check of one value."""

  left = 0

  def counted(self, keyword: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a keyword's function that counts, and raises at the bound."""

    def check(*args: Any) -> Iterator[Any]:
      self.left -= 1
      if self.left < 0:
        raise _TooMuchWorkError
      yield from keyword(*args) or ()

    return check


def _references(schema: Any) -> Iterator[str]:
  """Yields what the references of a schema name."""
  todo = [schema]
  while todo:
    part = todo.pop()
    if isinstance(part, list):
      todo.extend(part)
    elif isinstance(part, dict):
      todo.extend(part[key] for key in part if key not in _DATA)
      for key in _REFERENCES:
        if isinstance(part.get(key), str):
          yield part[key]


def _unique_items(
  validator: Any, wanted: Any, value: Any, schema: Any
) -> Iterator[Any]:
  """`uniqueItems` in linear time; jsonschema's takes the square of it."""
  import jsonschema

  del schema
  if wanted and validator.is_type(value, "array"):
    if len({_hashable(item) for item in value}) < len(value):
      yield jsonschema.ValidationError("two items are equal")


def _hashable(value: Any) -> Any:
  """A value that equals another's just if JSON Schema calls the two equal."""
  if isinstance(value, dict):
    return "object", frozenset((k, _hashable(v)) for k, v in value.items())
  if isinstance(value, list):
    return "array", tuple(map(_hashable, value))
  # To Python, True is 1.
  return (type(value) is bool, value)
