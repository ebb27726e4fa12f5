# SPDX-License-Identifier: Apache-2.0
"""What one process of a run does for all, and what all of them must agree on.

Every process computes the same run: the same data in the same order, the same
decisions. What has an effect outside, or may come out otherwise elsewhere (a
trained tokenizer, a reward that asks a server), the first process does, and tells.

It tells through the service that `jax.distributed` starts, and not through the
devices: there a process that waits keeps them busy, and gives up soon (Gloo after
half a minute), while a tokenizer may be trained for many.

What fails in one process fails in all. It says so under one key, at which every
process looks while it waits, whatever it waits for; so none waits for one that
will not come. After it all count anew, under other keys: those that were ahead
and those that were behind agree again.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

# JAX has no public name for the key-value store that all processes share; Orbax
# and MaxText use this one.
from jax._src import distributed

from ramjax.models import sharding
from ramjax.trainers import lost
from ramjax.trainers.run_error import PassingError

T = TypeVar("T")

# Of one look for what another process tells; between two it looks whether one
# has failed, and signals are handled.
_LOOK_MS = 1_000
# A network's file system may show a new file late.
_SHARED_SECONDS = 30


@dataclasses.dataclass
class _Era:
  """What was told between two failures; all processes count alike.

  Attributes:
    number: Failures so far.
    told: What the first process has told.
    gathered: What all have told.
  """

  number: int = 0
  told: int = 0
  gathered: int = 0

  @property
  def path(self) -> str:
    """Of its keys."""
    return f"ramjax/{self.number}"


_era = _Era()


def is_first() -> bool:
  """Whether this process is the one that prints and writes."""
  return jax.process_index() == 0


def first_tells(make: Callable[[], T]) -> T:
  """What the first process makes, on every process.

  All call it, in the same order. Only the first one runs `make`, on devices of
  its own: a computation on those of all would wait for the others.

  Args:
    make: Returns anything that JSON holds.

  Returns:
    It; with several processes as JSON gives it back (a tuple is a list).

  Raises:
    ValueError, PassingError: On the others, where `make` failed, or failed of
      what may pass: says why. On the first one whatever it raised.
  """
  if jax.process_count() == 1:
    return make()
  _era.told += 1
  key, read = f"{_era.path}/told/{_era.told}", f"{_era.path}/read"
  if not is_first():
    value = json.loads(_wait_for(key))
    _client().key_value_increment(read, 1)
    return value
  _forget_what_all_read()
  with failing_together():
    alone = sharding.make_mesh({}, jax.local_devices()[:1])
    with jax.set_mesh(alone):
      text = json.dumps(make())
  _client().key_value_set(key, text)
  return json.loads(text)


def together(do: Callable[[], T]) -> T:
  """What `do` returns, if it succeeds on every process.

  For what may fail on one host alone, such as reading its own disk, so that the
  others do not wait for it in the next computation.

  Args:
    do: Run on every process.

  Returns:
    This process's result.

  Raises:
    ValueError, PassingError: It failed on another process, or failed there of
      what may pass: says on which, and why. Where it failed here, whatever it
      raised.
  """
  with failing_together():
    result = do()
  gather(None)
  return result


@contextlib.contextmanager
def failing_together() -> Iterator[None]:
  """Tells the other processes what fails within: they fail where they next wait."""
  era = _era.number
  try:
    yield
  except BaseException as error:
    if jax.process_count() > 1:
      _tell_failure(era, error)
    raise


def gather(value: Any) -> list[Any]:
  """The values of all processes, in their order; JSON carries them.

  Raises:
    ValueError, PassingError: Another process failed instead, or failed of what
      may pass: says which, and why.
  """
  if jax.process_count() == 1:
    return [value]
  _era.gathered += 1
  place = f"{_era.path}/gathered/{_era.gathered}"
  if not is_first():
    _client().key_value_set(f"{place}/{jax.process_index()}", json.dumps(value))
    return json.loads(_wait_for(f"{place}/all"))
  values = [value] + [
    json.loads(_wait_for(f"{place}/{index}"))
    for index in range(1, jax.process_count())
  ]
  # Who tells a value has read all that were gathered before.
  if _era.gathered > 1:
    _client().key_value_delete(f"{_era.path}/gathered/{_era.gathered - 1}/")
  _client().key_value_set(f"{place}/all", json.dumps(values))
  return values


def any_says(topic: str, so: bool) -> bool:
  """Whether any process has said so, as far as the first has heard: alike on all.

  All call it, in the same order, and wait for the first one alone. What another
  says while that answers is heard at the next call.

  Args:
    topic: What was said of it once stays said, until a failure has all count
      anew.
    so: Whether this process says so.
  """
  if jax.process_count() == 1:
    return so
  key = f"{_era.path}/said/{topic}"
  if so:
    _client().key_value_increment(key, 1)
  return first_tells(lambda: _count(key) > 0)


def sees(look: Callable[[], bool]) -> bool:
  """Whether `look` is true here, of what another process wrote.

  Asks again for half a minute, as a network's file system may show it late.
  """
  last = time.monotonic() + _SHARED_SECONDS
  while not look():
    if time.monotonic() > last:
      return False
    time.sleep(0.1)
  return True


def _forget_what_all_read() -> None:
  """Deletes what was told so far, unless some process has yet to read it.

  Scores of some hundred answers are some 10 KB, in every rollout.
  """
  before = _era.told - 1
  if before:
    if _count(f"{_era.path}/read") == before * (jax.process_count() - 1):
      _client().key_value_delete(f"{_era.path}/told/")


def _tell_failure(era: int, error: BaseException) -> None:
  """Lets all fail that wait, or will; once for each error.

  Args:
    era: In which what failed was begun. One that is over says that all know: the
      error came from within, or is another process's.
    error: What went wrong.
  """
  if era != _era.number:
    return
  why = f"process {jax.process_index()} failed: {_said(error)}"
  passes = isinstance(error, PassingError) or lost.is_lost(error)
  told = json.dumps([why, passes])
  try:
    _client().key_value_set(f"{_era.path}/failed", told)
  except jax.errors.JaxRuntimeError as refused:
    # Another failed, too, and was faster.
    if "ALREADY_EXISTS" not in str(refused):
      raise
  _begin_anew()


def _begin_anew() -> None:
  global _era
  _era = _Era(_era.number + 1)


def _wait_for(key: str) -> str:
  """The value of a key; looks at failures in between."""
  while True:
    if (value := _look(key)) is not None:
      return value
    if (failed := _try(f"{_era.path}/failed")) is None:
      continue
    # Who failed may have told this before, and gone on.
    if (value := _try(key)) is not None:
      return value
    _begin_anew()
    why, passes = json.loads(failed)
    raise PassingError(why) if passes else ValueError(why)


def _look(key: str) -> str | None:
  """The value of a key, waiting a little; None where it is not there."""
  try:
    return _client().blocking_key_value_get(key, _LOOK_MS)
  except jax.errors.JaxRuntimeError as error:
    # Anything else says that the service is gone, and the run with it.
    if "DEADLINE_EXCEEDED" not in str(error):
      raise
  return None


def _try(key: str) -> str | None:
  """The value of a key, without waiting; None where it is not there."""
  try:
    return _client().key_value_try_get(key)
  except jax.errors.JaxRuntimeError as error:
    if "NOT_FOUND" not in str(error):
      raise
  return None


def _count(key: str) -> int:
  """How often a key was incremented."""
  # An increment of nothing is a look that needs no value to be there.
  return _client().key_value_increment(key, 0)


def _client() -> Any:
  client = distributed.global_state.client
  assert client is not None  # There is more than one process.
  return client


def _said(error: BaseException) -> str:
  return str(error) or type(error).__name__
