# SPDX-License-Identifier: Apache-2.0
"""From scored answers to rows to train on: the policies of a round.

`config.select = dict(name="best_and_worst", least_margin=0.5)` names one, with
its options. Each is a pure function of groups of answers. None sees an answer
without a score or without text: there is nothing to compare or to train on.

An answer that was cut off at `rollout.max_new_tokens` is never imitated, chosen
or called good: a row ends with the EOS, and would teach to stop there. It may
be what is rejected. `unfinished` counts those that were left out for it.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.data.rows import Message, Text

Row = dict[str, Any]

_NUM_QUANTILES = 5
_PHRASE = "Quality of the answer: {quantile} of {num_quantiles}."


@dataclasses.dataclass(frozen=True)
class ScoredAnswer:
  """One answer of the policy.

  Attributes:
    text: Without what ended it.
    score: What it is worth; None where a judge gave no number.
    finished: Whether the model ended it itself.
  """

  text: str
  score: float | None
  finished: bool


@dataclasses.dataclass(frozen=True)
class Group:
  """The answers to one prompt: raw text, or a conversation."""

  prompt: Text
  answers: tuple[ScoredAnswer, ...]


@dataclasses.dataclass(frozen=True)
class Selected:
  """What a selection made of some groups.

  Attributes:
    rows: In a format of `data/parse_rows.py`, as JSON has them.
    counts: What was kept and what was left out, by name.
  """

  rows: list[Row]
  counts: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Selection:
  """A selection with its options.

  Attributes:
    name: Of the selection.
    algorithms: Those that can be fitted to its rows.
    select: From groups to rows.
    condition: What is put into a prompt once a model has learned from such
      rows; None where prompts are asked as they are.
  """

  name: str
  algorithms: tuple[str, ...]
  select: Callable[[Sequence[Group]], Selected]
  condition: Callable[[Text], Text] | None = None


def best(
  groups: Sequence[Group], *, least_score: float | None = None
) -> Selected:
  """The best finished answer to each prompt: best-of-n, expert iteration.

  Of several the first. AlpacaFarm's expert iteration (arXiv 2305.14387,
  section 3.3) is this and supervised fine-tuning.

  Args:
    groups: Of any sizes.
    least_score: Prompts whose best answer is worth less are left out.

  Returns:
    Rows with `completion`, and with `score` beside it.
  """
  rows, counts = [], _counts(groups, "below_least_score")
  for group in groups:
    answers = _finished(_usable(group), counts)
    if not answers:
      continue
    top = max(answers, key=_score)  # Python's max takes the first of equals.
    if least_score is not None and _score(top) < least_score:
      counts["below_least_score"] += 1
      continue
    rows.append(_completion(group, top))
  return _selected(rows, counts)


def correct(
  groups: Sequence[Group], *, threshold: float, most: int = 0
) -> Selected:
  """Every different right, finished answer: STaR, rejection sampling.

  STaR is arXiv 2203.14465, section 3.1 (without rationalisation: no hint is
  given where all answers are wrong); several distinct answers to a prompt are
  those of RFT (arXiv 2308.01825, section 3.3), which tells them apart by their
  equations and not, as here, by their text.

  Args:
    groups: Of any sizes.
    threshold: What a right answer is worth at least.
    most: Answers to a prompt at most, the best and then the first of them; 0
      keeps all.

  Returns:
    Rows with `completion`.

  Raises:
    ValueError: `most` is negative.
  """
  if most < 0:
    raise ValueError(
      f"select.most={most} must be at least 0: answers kept to a prompt, 0 for"
      " all."
    )
  rows, counts = [], _counts(groups, "below_threshold", "repeated", "over_most")
  for group in groups:
    answers = _usable(group)
    above = [a for a in answers if _score(a) >= threshold]
    right = _finished(above, counts)
    distinct = list({a.text: a for a in reversed(right)}.values())[::-1]
    distinct.sort(key=lambda a: -_score(a))
    kept = distinct[:most] if most else distinct
    counts["below_threshold"] += len(answers) - len(above)
    counts["repeated"] += len(right) - len(distinct)
    counts["over_most"] += len(distinct) - len(kept)
    rows += [_completion(group, answer) for answer in kept]
  return _selected(rows, counts)


def best_and_worst(
  groups: Sequence[Group], *, least_margin: float = 0.0
) -> Selected:
  """The best finished answer to each prompt, and the worst: iterative DPO.

  And iterative Pairwise Cringe (arXiv 2312.16682, section 3.3) and
  self-rewarding (arXiv 2401.10020, section 2.4), which drop ties, too.

  Args:
    groups: Of any sizes.
    least_margin: Pairs whose scores lie closer are left out; ties always are.

  Returns:
    Rows with `chosen`, `rejected` and `margin`, the difference of the scores.

  Raises:
    ValueError: `least_margin` is negative.
  """
  if least_margin < 0:
    raise ValueError(
      f"select.least_margin={least_margin} must be at least 0: how far apart the"
      " scores of a pair lie."
    )
  rows, counts = [], _counts(groups, "tied", "below_least_margin")
  for group in groups:
    answers = _usable(group)
    finished = _finished(answers, counts)
    if not finished:
      continue
    top, bottom = max(finished, key=_score), min(answers, key=_score)
    margin = _score(top) - _score(bottom)
    # A judge may give one text two scores.
    if margin == 0 or top.text == bottom.text:
      counts["tied"] += 1
    elif margin < least_margin:
      counts["below_least_margin"] += 1
    else:
      rows.append(
        {
          "prompt": _prompt(group.prompt),
          "chosen": _answer(group.prompt, top.text),
          "rejected": _answer(group.prompt, bottom.text),
          "margin": margin,
        }
      )
  return _selected(rows, counts)


def labelled(
  groups: Sequence[Group],
  *,
  threshold: float,
  balance: bool = True,
  seed: int = 0,
) -> Selected:
  """Every answer, with whether it is good: iterative binary Cringe.

  A good one that was cut off is left out.

  Adolphs et al. (arXiv 2211.05826, section 3.3) label what the model said with
  a classifier and train on it again, half of it good and half of it bad.

  Args:
    groups: Of any sizes.
    threshold: What a good answer is worth at least.
    balance: Keep as many good ones as bad ones.
    seed: Of the draw of those that are left out for it.

  Returns:
    Rows with `completion` and `label`.
  """
  counts = _counts(groups, "unbalanced")
  sides: dict[bool, list[int]] = {True: [], False: []}
  rows = []
  for group in groups:
    for answer in _usable(group):
      label = _score(answer) >= threshold
      if label and not answer.finished:
        counts["unfinished"] += 1
        continue
      sides[label].append(len(rows))
      rows.append({**_completion(group, answer), "label": label})
  if balance:
    least = min(map(len, sides.values()))
    rng = np.random.default_rng(seed)
    kept = {
      int(i)
      for side in sides.values()
      for i in rng.permutation(np.array(side, int))[:least]
    }
    counts["unbalanced"] = len(rows) - len(kept)
    rows = [rows[i] for i in sorted(kept)]
  good = sum(row["label"] for row in rows)
  counts |= {"desirable": good, "undesirable": len(rows) - good}
  return _selected(rows, counts)


def quantiles(
  groups: Sequence[Group],
  *,
  num_quantiles: int = _NUM_QUANTILES,
  phrase: str = _PHRASE,
  place: str = "system",
) -> Selected:
  """Every finished answer, under a phrase of how good it is: Quark, in part.

  Quark (Lu et al., arXiv 2205.13635, section 2) sorts all answers so far by
  reward, cuts them into quantiles, learns each under its quantile's token, and
  explores under the best one. Here the token is words, and what is fitted is
  plain likelihood: Quark's penalty of the KL divergence from the first model
  and AlpacaFarm's entropy bonus are not there. For its pool of all answers set
  `rounds.replay` to the number of rounds.

  Args:
    groups: Of all rounds whose answers count.
    num_quantiles: At least 2; `num_quantiles` is the best and 1 the worst.
    phrase: With {quantile}, and {num_quantiles} if wanted.
    place: "system", at the head of the system turn, or "user", at the head of
      the turn that is answered.

  Returns:
    Rows with `completion`.

  Raises:
    ValueError: An option out of range, or a prompt of raw text.
  """
  _check_phrase(num_quantiles, phrase, place)
  counts = _counts(groups)
  answers = [
    (group, answer)
    for group in groups
    for answer in _finished(_usable(group), counts)
  ]
  # Stable: of equal scores the later answer is the better, by a little.
  order = sorted(range(len(answers)), key=lambda i: _score(answers[i][1]))
  rank = {i: place for place, i in enumerate(order)}
  rows = []
  for i, (group, answer) in enumerate(answers):
    quantile = 1 + rank[i] * num_quantiles // len(answers)
    told = _told(group.prompt, quantile, num_quantiles, phrase, place)
    rows.append(_completion(dataclasses.replace(group, prompt=told), answer))
    name = f"quantile_{quantile}"
    counts[name] = counts.get(name, 0) + 1
  return _selected(rows, counts)


def best_quantile(
  prompt: Text,
  *,
  num_quantiles: int = _NUM_QUANTILES,
  phrase: str = _PHRASE,
  place: str = "system",
) -> Text:
  """A prompt that asks for an answer of the best quantile; see `quantiles`."""
  return _told(prompt, num_quantiles, num_quantiles, phrase, place)


# Name -> the function, the algorithms that its rows are for, and what it puts
# into a prompt.
_SELECTIONS: dict[str, tuple[Any, tuple[str, ...], Any]] = {
  "best": (best, ("sft",), None),
  "best_and_worst": (best_and_worst, ("preference", "unpaired"), None),
  "correct": (correct, ("sft",), None),
  "labelled": (labelled, ("unpaired",), None),
  "quantiles": (quantiles, ("sft",), best_quantile),
}
SELECTION_NAMES = tuple(_SELECTIONS)


def find(options: Mapping[str, Any]) -> Selection:
  """The selection that a config names, its options checked.

  Args:
    options: `config.select` as a dict: `name` and the selection's own.

  Raises:
    ValueError: An unknown selection, or a missing, unknown or wrong option.
  """
  given = dict(options)
  name = given.pop("name", None)
  if name not in _SELECTIONS:
    raise ValueError(
      f"select.name={name!r} is not one of {', '.join(SELECTION_NAMES)}."
    )
  function, algorithms, condition = _SELECTIONS[name]
  known = {
    key: parameter
    for key, parameter in inspect.signature(function).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
  }
  unknown = sorted(given.keys() - known.keys())
  missing = [
    key
    for key, parameter in known.items()
    if parameter.default is parameter.empty and key not in given
  ]
  if unknown or missing:
    raise ValueError(
      f"select.name={name!r} has the options {', '.join(known)}; unknown:"
      f" {', '.join(unknown) or 'none'}, missing: {', '.join(missing) or 'none'}."
    )
  for key, value in given.items():
    _check_type(name, key, value, known[key].annotation)
  select = functools.partial(function, **given)
  select([])  # Refuses options that are out of range.
  return Selection(
    name=name,
    algorithms=algorithms,
    select=select,
    condition=condition and functools.partial(condition, **given),
  )


def _check_type(name: str, key: str, value: Any, annotation: Any) -> None:
  allowed = {
    bool: (bool,),
    int: (int,),
    float: (int, float),
    str: (str,),
    float | None: (int, float, type(None)),
  }[annotation]
  is_bool = isinstance(value, bool) and annotation is not bool
  finite = not isinstance(value, float) or math.isfinite(value)
  if is_bool or not isinstance(value, allowed) or not finite:
    raise ValueError(
      f"select.{key}={value!r} must be {annotation} for select.name={name!r}."
    )


def _score(answer: ScoredAnswer) -> float:
  assert answer.score is not None
  return answer.score


def _usable(group: Group) -> list[ScoredAnswer]:
  return [a for a in group.answers if a.score is not None and a.text.strip()]


def _finished(
  answers: Sequence[ScoredAnswer], counts: dict[str, int]
) -> list[ScoredAnswer]:
  """Those that ended by themselves; the others are counted."""
  kept = [answer for answer in answers if answer.finished]
  counts["unfinished"] += len(answers) - len(kept)
  return kept


def _counts(groups: Sequence[Group], *names: str) -> dict[str, int]:
  answers = [answer for group in groups for answer in group.answers]
  return {
    "prompts": len(groups),
    "answers": len(answers),
    "without_score": sum(a.score is None for a in answers),
    "blank": sum(not a.text.strip() for a in answers),
    "unfinished": 0,
    **dict.fromkeys(names, 0),
  }


def _selected(rows: list[Row], counts: dict[str, int]) -> Selected:
  return Selected(rows, {**counts, "rows": len(rows)})


def _prompt(prompt: Text) -> Any:
  if isinstance(prompt, str):
    return prompt
  return [{"role": turn.role, "content": turn.content} for turn in prompt]


def _answer(prompt: Text, text: str) -> Any:
  if isinstance(prompt, str):
    return text
  return [{"role": "assistant", "content": text}]


def _completion(group: Group, answer: ScoredAnswer) -> Row:
  return {
    "prompt": _prompt(group.prompt),
    "completion": _answer(group.prompt, answer.text),
    "score": answer.score,
  }


def _check_phrase(num_quantiles: int, phrase: str, place: str) -> None:
  if num_quantiles < 2:
    raise ValueError(
      f"select.num_quantiles={num_quantiles} must be at least 2: one quantile"
      " tells no answer from another."
    )
  if "{quantile}" not in phrase:
    raise ValueError(
      f"select.phrase={phrase!r} must hold {{quantile}}, or it is the same for"
      " good answers and bad ones."
    )
  if place not in ("system", "user"):
    raise ValueError(f"select.place={place!r} must be 'system' or 'user'.")


def _told(
  prompt: Text, quantile: int, num_quantiles: int, phrase: str, place: str
) -> Text:
  """The prompt with the phrase of a quantile."""
  if isinstance(prompt, str):
    raise ValueError(
      "select.name='quantiles' puts a phrase into a turn, and a prompt is raw"
      " text: write it as messages."
    )
  words = phrase.replace("{num_quantiles}", str(num_quantiles))
  words = words.replace("{quantile}", str(quantile))
  if place == "system" and prompt[0].role != "system":
    return (Message("system", words), *prompt)
  at = 0 if place == "system" else len(prompt) - 1
  turn = prompt[at]
  content = f"{words}\n\n{turn.content}" if turn.content else words
  return (*prompt[:at], Message(turn.role, content), *prompt[at + 1 :])
