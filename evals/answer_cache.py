# SPDX-License-Identifier: Apache-2.0
"""Answers kept on disk: what was asked once is not asked again.

For endpoints, where an answer costs money, and for evaluations that are
repeated. One file of JSON Lines grows at its end; processes that share it take
turns by a lock, and see each other's answers.
"""

import base64
import collections
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import (
  Callable,
  Iterable,
  Iterator,
  Mapping,
  Sequence,
)
from typing import IO, Any, Protocol, runtime_checkable

import numpy as np

from ramjax.data import strict_json
from ramjax.evals.engine import ChatRequest, Completion, Engine

FILE_NAME = "answers.jsonl"
# Changes when a key or a line comes to mean something else.
_FORMAT = 1
_ARRAYS = {"tokens": "<i4", "logps": "<f4", "drawn_logps": "<f4"}


@runtime_checkable
class TellsEach(Protocol):
  """An engine that hands over each answer as it arrives."""

  def complete_each(
    self,
    requests: Sequence[ChatRequest],
    arrived: Callable[[int, Completion], None],
    failed: Callable[[int, Any], None] | None = None,
  ) -> None:
    """Calls `arrived` with the index of each request and its answer.

    With `failed`, that is told of each request that has none, and why.
    """
    ...


class CachedEngine:
  """An engine with a memory.

  Answers of an engine that `TellsEach` are kept one by one, those of another
  when all of a call are there.

  Attributes:
    hits: Requests that were answered from disk, or by their double in a call.
    misses: Requests that the engine was asked.
  """

  def __init__(
    self,
    engine: Engine,
    folder: str | os.PathLike[str],
    identity: Mapping[str, Any],
    *,
    on_failure: Callable[[Exception], Completion] | None = None,
  ):
    """Makes the folder; nothing is read before an answer is asked for.

    Args:
      engine: Answers what is not there.
      folder: Where answers are kept, of any number of engines.
      identity: What tells this engine's model from others, of JSON's types:
        endpoint and name, or the fingerprint of its weights. No secret.
      on_failure: Of an engine that `TellsEach`: makes what stands for an answer
        that it fails to give. It is not kept. None raises.

    Raises:
      TypeError: `identity` is not made of JSON's types.
    """
    self._engine = engine
    self._on_failure = on_failure
    self._identity = json.dumps(identity, sort_keys=True, allow_nan=False)
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    self._file = _AnswerFile(pathlib.Path(folder) / FILE_NAME)
    self.hits = 0
    self.misses = 0

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """See `engine.Engine`; what the engine raises leaves its answers kept.

    Raises:
      ValueError: The file of answers is damaged.
    """
    keys = [request_key(self._identity, request) for request in requests]
    found = self._file.look_up(keys)
    # Of equal requests one is asked.
    asked: dict[str, ChatRequest] = {}
    for key, request in zip(keys, requests, strict=True):
      if key in found or key in asked:
        self.hits += 1
      else:
        asked[key] = request
    self.misses += len(asked)
    counts = collections.Counter(keys)

    def tell(key: str, times: int) -> None:
      if progress is not None:
        for _ in range(times):
          progress(found[key].num_tokens)

    for key in keys:
      if key not in asked:
        tell(key, 1)
    names = list(asked)

    def arrived(answers: Mapping[int, Completion]) -> None:
      named = {names[index]: answer for index, answer in answers.items()}
      self._file.add(named)
      found.update(named)
      for key in named:
        tell(key, counts[key])

    def failed(index: int, error: Exception) -> None:
      assert self._on_failure is not None
      found[names[index]] = self._on_failure(error)
      tell(names[index], counts[names[index]])

    if isinstance(self._engine, TellsEach):
      self._engine.complete_each(
        list(asked.values()),
        lambda index, answer: arrived({index: answer}),
        None if self._on_failure is None else failed,
      )
    elif asked:
      answers = self._engine.complete(list(asked.values()))
      arrived(dict(enumerate(answers)))
    return [found[key] for key in keys]


def request_key(identity: str, request: ChatRequest) -> str:
  """SHA-256 (hex) of the canonical JSON of all that decides an answer.

  Args:
    identity: Of the model, as canonical JSON.
    request: The whole of it counts, but for what trains (`supervised`).
  """
  options = request.options
  described = {
    "format": _FORMAT,
    "identity": identity,
    "messages": [[m.role, m.content] for m in request.messages],
    "stop": list(request.stop),
    "seed": request.seed,
    # In hexadecimal: exact, and the same for 1 and 1.0.
    "logit_bias": [
      [token, float(bias).hex()]
      for token, bias in sorted(options.logit_bias.items())
    ],
    "repetition_penalty": float(options.repetition_penalty).hex(),
    "temperature": float(options.temperature).hex(),
    "top_k": options.top_k,
    "top_p": float(options.top_p).hex(),
    "min_p": float(options.min_p).hex(),
    "max_tokens": options.max_tokens,
    "stop_tokens": list(options.stop_tokens),
  }
  text = json.dumps(described, sort_keys=True, separators=(",", ":"))
  return hashlib.sha256(text.encode()).hexdigest()


class _AnswerFile:
  """The file, and where in it each answer lies."""

  def __init__(self, path: pathlib.Path):
    self._path = path
    self._places: dict[str, int] = {}
    self._read_to = 0

  def look_up(self, keys: Iterable[str]) -> dict[str, Completion]:
    """Those answers that are there, whoever put them there."""
    with self._locked() as file:
      self._catch_up(file)
      found = {}
      for key in keys:
        if key in self._places and key not in found:
          file.seek(self._places[key])
          line = file.readline()
          found[key] = self._completion(self._object(line, file.tell()), key)
      return found

  def add(self, answers: Mapping[str, Completion]) -> None:
    """Appends answers; of one that another process put there, its own stays."""
    with self._locked() as file:
      self._catch_up(file)
      for key, answer in answers.items():
        if key not in self._places:
          self._places[key] = self._read_to
          line = (json.dumps(_line(key, answer)) + "\n").encode()
          self._read_to += len(line)
          file.write(line)

  @contextlib.contextmanager
  def _locked(self) -> Iterator[IO[bytes]]:
    # Closing the file writes what is left and gives the lock back, in this
    # order.
    with open(self._path, "a+b") as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      yield file

  def _catch_up(self, file: IO[bytes]) -> None:
    """Reads what was appended, and takes away a line torn by a kill.

    Who holds the lock is alone: a line without an end has no writer any more.
    """
    if os.fstat(file.fileno()).st_size < self._read_to:
      self._places, self._read_to = {}, 0  # Somebody emptied it.
    file.seek(self._read_to)
    while line := file.readline():
      if not line.endswith(b"\n"):
        file.truncate(self._read_to)
        break
      key = self._object(line, self._read_to + len(line)).get("key")
      if not isinstance(key, str):
        raise self._damaged(self._read_to + len(line), "it has no key")
      self._places.setdefault(key, self._read_to)
      self._read_to += len(line)

  def _object(self, line: bytes, end: int) -> dict[str, Any]:
    try:
      text = line.decode("ascii")
      value, stop = strict_json.StrictDecoder().decode(text, 0)
    except ValueError as error:
      raise self._damaged(end, str(error)) from error
    if not isinstance(value, dict) or text[stop:] != "\n":
      raise self._damaged(end, "not one JSON object")
    return value

  def _completion(self, value: dict[str, Any], key: str) -> Completion:
    try:
      return _answer(value)
    except (KeyError, TypeError, ValueError) as error:
      raise ValueError(
        f"{self._path}: the answer of key {key} is damaged: {error!r}. Delete"
        " that line, or the file."
      ) from error

  def _damaged(self, end: int, problem: str) -> ValueError:
    return ValueError(
      f"{self._path}: the line that ends at byte {end} is damaged: {problem}."
      " Delete that line, or the file."
    )


def _line(key: str, answer: Completion) -> dict[str, Any]:
  line: dict[str, Any] = {
    "key": key,
    "text": answer.text,
    "finished": answer.finished,
    "num_tokens": answer.num_tokens,
  }
  if answer.num_prompt_tokens is not None:
    line["num_prompt_tokens"] = answer.num_prompt_tokens
  for name, dtype in _ARRAYS.items():
    array = getattr(answer, name)
    if array is not None:
      # The bytes themselves: every value comes back as it was.
      data = np.asarray(array).astype(dtype).tobytes()
      line[name] = base64.b64encode(data).decode("ascii")
  return line


def _answer(line: Mapping[str, Any]) -> Completion:
  arrays = {
    name: np.frombuffer(
      base64.b64decode(line[name], validate=True), dtype
    ).astype(dtype[1:])
    for name, dtype in _ARRAYS.items()
    if name in line
  }
  fields = line["text"], line["finished"], line["num_tokens"]
  if tuple(map(type, fields)) != (str, bool, int):
    raise TypeError("text, finished or num_tokens is of another type")
  num_prompt_tokens = line.get("num_prompt_tokens")
  if type(num_prompt_tokens) not in (int, type(None)):
    raise TypeError("num_prompt_tokens is of another type")
  return Completion(
    *fields,
    tokens=arrays.get("tokens"),
    logps=arrays.get("logps"),
    drawn_logps=arrays.get("drawn_logps"),
    num_prompt_tokens=num_prompt_tokens,
  )
