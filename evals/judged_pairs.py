# SPDX-License-Identifier: Apache-2.0
"""Verdicts on many pairs, kept as they arrive: a run that is killed goes on.

Verdicts lie in a file of JSON Lines, each under a key of all that decides it:
the judge, what it is shown, and the pair. A verdict is written as soon as it is
known; a line torn by a kill is cut off, and its pair judged again. A pair that
the judge gave no answer about is not written, so that the next run asks again.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.data import strict_json
from ramjax.evals.pairwise_judge import Look, Pair, PairJudge, PairVerdict

# Changes when a key or a line comes to mean something else.
_FORMAT = 1
_COUNTS = ("num_requests", "num_prompt_tokens", "num_tokens")


class VerdictFile:
  """An open file of verdicts; a context manager."""

  def __init__(self, path: str | os.PathLike[str]):
    """Opens a file, or makes it, and reads what is there.

    Args:
      path: The file; its folder exists.

    Raises:
      ValueError: A line is damaged, or another process writes the file.
    """
    self._path = pathlib.Path(path)
    self._verdicts: dict[str, PairVerdict] = {}
    self._file = open(self._path, "a+b")
    try:
      self._lock()
      self._read()
    except BaseException:
      self._file.close()
      raise

  def __enter__(self) -> "VerdictFile":
    return self

  def __exit__(self, *unused: object) -> None:
    self._file.flush()
    os.fsync(self._file.fileno())
    self._file.close()

  def get(self, key: str) -> PairVerdict | None:
    """The verdict of a key, if it is there."""
    return self._verdicts.get(key)

  def add(self, key: str, verdict: PairVerdict) -> None:
    """Appends a verdict, which a kill of this process does not lose."""
    line = {"key": key, **dataclasses.asdict(verdict)}
    del line["failed"]
    text = json.dumps(line, allow_nan=False)
    self._file.write(text.encode() + b"\n")
    self._file.flush()
    self._verdicts[key] = verdict

  def _lock(self) -> None:
    try:
      fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise ValueError(
        f"{self._path} is being written by another process: wait for it, or"
        " give another folder."
      ) from error

  def _read(self) -> None:
    self._file.seek(0)
    end = number = 0
    while line := self._file.readline():
      if not line.endswith(b"\n"):
        self._file.truncate(end)
        return
      number += 1
      end += len(line)
      try:
        key, verdict = _parse(line)
      except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
          f"{self._path}: line {number} is no verdict ({error!r:.200}). Delete"
          " that line, and its pair is judged again."
        ) from error
      self._verdicts[key] = verdict


def _parse(line: bytes) -> tuple[str, PairVerdict]:
  value, end = strict_json.StrictDecoder().decode(line.decode("ascii"), 0)
  if not isinstance(value, dict) or line[end:] != b"\n":
    raise TypeError("not one JSON object")
  looks = tuple(
    Look(
      _of(bool, look, "swapped"),
      _preference(look),
      look["said"],
      _of(str, look, "problem"),
    )
    for look in value["looks"]
  )
  counts = {name: _of(int, value, name) for name in _COUNTS}
  verdict = PairVerdict(
    _preference(value), _of(str, value, "problem"), looks, **counts
  )
  return _of(str, value, "key"), verdict


def _of(kind: type, value: Mapping[str, Any], name: str) -> Any:
  # True is an int in Python, and no count.
  if type(value[name]) is not kind:
    raise TypeError(f"{name} is of another type than {kind.__name__}")
  return value[name]


def _preference(value: Mapping[str, Any]) -> float | None:
  preference = value["preference"]
  if preference is None:
    return None
  if type(preference) is not float or not 1 <= preference <= 2:
    raise TypeError("preference is no number from 1 to 2")
  return preference


def verdict_key(identity: Mapping[str, Any], pair: Pair) -> str:
  """SHA-256 (hex) of the canonical JSON of all that decides a verdict."""
  described = {
    "format": _FORMAT,
    "judge": identity,
    "pair": [pair.instruction, pair.output_1, pair.output_2],
  }
  if pair.reference is not None:
    described["reference"] = pair.reference
  text = json.dumps(described, sort_keys=True, allow_nan=False)
  return hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class JudgedPairs:
  """What came of a run.

  Attributes:
    verdicts: One for each pair, in their order.
    num_found: Pairs that the file had already.
    num_failed: Pairs that the judge gave no answer about.
  """

  verdicts: Sequence[PairVerdict]
  num_found: int
  num_failed: int

  @property
  def invalid_share(self) -> float:
    """The share of pairs without a verdict; 0 of none."""
    missing = sum(v.preference is None for v in self.verdicts)
    return missing / max(len(self.verdicts), 1)


def judge_pairs(
  judge: PairJudge,
  pairs: Sequence[Pair],
  file: VerdictFile,
  *,
  model: Mapping[str, Any],
  chunk: int,
  most_failed: int | None = None,
  progress: Callable[[int], None] | None = None,
) -> JudgedPairs:
  """Judges the pairs that a file has no verdict on.

  Args:
    judge: Says which is better.
    pairs: Equal ones are judged once.
    file: Has earlier verdicts, and gets new ones.
    model: What tells the judge's model from others, of JSON's types: endpoint
      and name, or the fingerprint of its weights.
    chunk: Pairs that the judge is given at a time; what an engine that answers
      all at once loses in a kill.
    most_failed: How many pairs the judge may give no answer about; beyond them
      the rest is not asked, for a server that is down stays so.
    progress: Told how many pairs are done, after each.

  Raises:
    ValueError: More pairs failed than may; verdicts so far are in the file.
  """
  identity = {"model": model, **judge.identity()}
  keys = [verdict_key(identity, pair) for pair in pairs]
  # Equal pairs have one key, and are asked about once.
  wanted = {
    key: pair
    for key, pair in zip(keys, pairs, strict=True)
    if file.get(key) is None
  }
  num_found = sum(key not in wanted for key in keys)
  failed: dict[str, PairVerdict] = {}
  names = list(wanted)
  done = num_found
  for start in range(0, len(names), chunk):
    part = names[start : start + chunk]

    def arrived(index: int, verdict: PairVerdict, part=part) -> None:
      nonlocal done
      if verdict.failed:
        failed[part[index]] = verdict
        if most_failed is not None and len(failed) > most_failed:
          raise ValueError(
            f"the judge gave no answer about {len(failed)} pairs, the last:"
            f" {verdict.problem} The verdicts so far are kept: run the same"
            " command again once it answers."
          )
      else:
        file.add(part[index], verdict)
      done += 1
      if progress is not None:
        progress(done)

    judge.judge([wanted[key] for key in part], arrived=arrived)
  verdicts = [file.get(key) or failed[key] for key in keys]
  return JudgedPairs(verdicts, num_found, sum(v.failed for v in verdicts))


def require_valid(judged: JudgedPairs, max_invalid: float) -> None:
  """Refuses a run in which too many pairs have no verdict.

  Args:
    judged: The run.
    max_invalid: The largest share that is let pass, from 0 to 1.

  Raises:
    ValueError: It is larger; with the commonest reason.
  """
  share = judged.invalid_share
  if share <= max_invalid:
    return
  problems = [v.problem for v in judged.verdicts if v.preference is None]
  commonest = max(set(problems), key=lambda text: (problems.count(text), text))
  raise ValueError(
    f"{len(problems)} of {len(judged.verdicts)} pairs have no verdict, a share"
    f" of {share:.3f}, and at most {max_invalid:g} may. The commonest reason:"
    f" {commonest}. The verdicts are kept; pairs that the judge did not answer"
    " about are asked again by the same command."
  )
