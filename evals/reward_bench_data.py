# SPDX-License-Identifier: Apache-2.0
"""RewardBench's questions, of both versions, and their scores as records."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data import turns
from ramjax.data.rows import Message, RowError
from ramjax.evals import reward_bench_fields
from ramjax.evals.response_rows import Conversation

_ROLES = ("user", "assistant")


class Question(NamedTuple):
  """A prompt with answers to be scored.

  Attributes:
    where: Its place in a file.
    subset: The subset it is of, as given.
    id: Its id there, as given; None where it has none.
    prompt: Messages that end in a user turn.
    answers: Right ones first.
    num_correct: How many are right.
  """

  where: str
  subset: Any
  id: Any
  prompt: tuple[Message, ...]
  answers: tuple[str, ...]
  num_correct: int

  @property
  def conversations(self) -> list[Conversation]:
    """The prompt with each of the answers."""
    return [Conversation(self.prompt, answer) for answer in self.answers]


def read_question(record: object, where: str, version: int) -> Question:
  """One question from a record of the authors' data.

  Whether its subset, id and number of answers are those of the benchmark is
  for `read_item` to say of its `scores_record`.

  Args:
    record: `prompt`, `chosen`, `rejected`, `subset` and `id` (may be missing).
      Of version 1 an answer is text, and a prompt text or turns that begin with
      the user's and alternate. Of version 2 answers are lists of texts, and
      `num_correct` and `total_completions`, where given, count them.
    where: Its place, for messages.
    version: 1 or 2.

  Raises:
    ValueError: It is no such record.
  """
  fields = reward_bench_fields.object_fields(record, where)
  for name in ("prompt", "chosen", "rejected"):
    if fields.get(name) is None:
      raise ValueError(
        f"{where}: no {name!r}: a model is run on the benchmark's own rows, with"
        " prompt, chosen, rejected, subset and id. Scores and results go to"
        " --model."
      )
  prompt = _prompt(fields["prompt"], where)
  chosen, rejected = (
    _answers(fields[name], f"{where}: {name}", version)
    for name in ("chosen", "rejected")
  )
  counts = {"num_correct": len(chosen)}
  counts["total_completions"] = len(chosen) + len(rejected)
  for name, count in counts.items():
    if version == 2 and fields.get(name) not in (None, count):
      raise ValueError(
        f"{where}: {name}={str(fields[name])[:40]}, and there are {count}: the"
        " row is damaged."
      )
  return Question(
    where=where,
    subset=fields.get("subset"),
    id=fields.get("id"),
    prompt=prompt,
    answers=(*chosen, *rejected),
    num_correct=len(chosen),
  )


def scores_record(
  question: Question, scores: Sequence[float], version: int
) -> dict[str, Any]:
  """A question's scores as `read_item` of its version takes them.

  Args:
    question: From `read_question`.
    scores: One for each of its answers.
    version: 1 or 2.
  """
  record: dict[str, Any] = {"subset": question.subset}
  if question.id is not None:
    record["id"] = question.id
  values = [float(score) for score in scores]
  if version == 1:
    return record | dict(
      zip(("scores_chosen", "scores_rejected"), values, strict=True)
    )
  return record | {"scores": values, "num_correct": question.num_correct}


def _answers(value: object, where: str, version: int) -> list[str]:
  """One answer of version 1, or those of version 2."""
  if version == 1:
    return [_text(value, where)]
  if not isinstance(value, list | tuple) or not value:
    raise ValueError(
      f"{where} is {turns.describe(value)}: RewardBench 2 has a list of answers"
      " there, at least one."
    )
  return [_text(answer, where) for answer in value]


def _prompt(value: object, where: str) -> tuple[Message, ...]:
  """One user turn, or several turns that the roles of `_ROLES` take in turn."""
  if not isinstance(value, list | tuple):
    return (Message("user", _text(value, f"{where}: prompt")),)
  messages = []
  for i, turn in enumerate(value):
    role, place = _ROLES[i % 2], f"{where}: prompt[{i}]"
    if not isinstance(turn, Mapping):
      raise ValueError(
        f"{place} is {turns.describe(turn)}: write a message with role and"
        " content."
      )
    # As in the authors' tool the place decides; but not against what is said.
    if turn.get("role", role) in ("system", _ROLES[(i + 1) % 2]):
      raise ValueError(
        f"{place} is the {turn['role']}'s, and the {role}'s is due: user and"
        " assistant take turns, the user first and last."
      )
    messages.append(Message(role, _text(turn.get("content"), place)))
  if len(messages) % 2 == 0:
    raise ValueError(
      f"{where}: prompt has {len(messages)} turns: it ends in the user's, so"
      " that they are an odd number."
    )
  return tuple(messages)


def _text(value: object, where: str) -> str:
  try:
    return turns.parse_text(value, where)
  except RowError as error:
    raise ValueError(str(error)) from None
