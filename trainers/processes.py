# SPDX-License-Identifier: Apache-2.0
"""What one process of a run does for all, and what all of them must agree on.

Every process computes the same run: the same data in the same order, the same
decisions. What has an effect outside, or may come out otherwise elsewhere (a
trained tokenizer, a reward that asks a server), the first process does, and tells.

It tells through the service that `jax.distributed` starts, and not through the
devices: there a process that waits keeps them busy, and gives up soon (Gloo after
half a minute), while a tokenizer may be trained for many.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax

# JAX has no public name for the key-value store that all processes share; Orbax
# and MaxText use this one.
from jax._src import distributed

from ramjax.models import sharding

T = TypeVar("T")

# Of one look for what another process tells; between two, signals are handled.
_LOOK_MS = 5_000
_TOLD = "ramjax/told/"
_READ = "ramjax/read"

_told = itertools.count(1)
_gathered = itertools.count(1)


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
    ValueError: On the others, where `make` failed: says why. On the first one
      whatever it raised.
  """
  if jax.process_count() == 1:
    return make()
  number = next(_told)
  key = f"{_TOLD}{number}"
  if not is_first():
    said = json.loads(_wait_for(key))
    _client().key_value_increment(_READ, 1)
    if "failed" in said:
      raise ValueError(f"process 0 failed: {said['failed']}")
    return said["value"]
  _forget_what_all_read(number - 1)
  try:
    with jax.set_mesh(sharding.make_mesh({}, jax.local_devices()[:1])):
      text = json.dumps({"value": make()})
  except BaseException as error:
    _client().key_value_set(key, json.dumps({"failed": _said(error)}))
    raise
  _client().key_value_set(key, text)
  return json.loads(text)["value"]


def together(do: Callable[[], T]) -> T:
  """What `do` returns, if it succeeds on every process.

  For what may fail on one host alone, such as reading its own disk, so that the
  others do not wait for it in the next computation.

  Args:
    do: Run on every process.

  Returns:
    This process's result.

  Raises:
    ValueError: It failed on another process: says on which, and why. Where it
      failed here, whatever it raised.
  """
  if jax.process_count() == 1:
    return do()
  try:
    result = do()
  except BaseException as error:
    gather(_said(error))
    raise
  for index, failed in enumerate(gather(None)):
    if failed is not None:
      raise ValueError(f"process {index} failed: {failed}")
  return result


def gather(value: Any) -> list[Any]:
  """The values of all processes, in their order; JSON carries them."""
  if jax.process_count() == 1:
    return [value]
  place = f"ramjax/gathered/{next(_gathered)}"
  if not is_first():
    _client().key_value_set(f"{place}/{jax.process_index()}", json.dumps(value))
    return json.loads(_wait_for(f"{place}/all"))
  values = [value] + [
    json.loads(_wait_for(f"{place}/{index}"))
    for index in range(1, jax.process_count())
  ]
  _client().key_value_set(f"{place}/all", json.dumps(values))
  return values


def _forget_what_all_read(number: int) -> None:
  """Deletes what was told so far, unless some process has yet to read it.

  Scores of some hundred answers are some 10 KB, in every rollout.
  """
  if number:
    # An increment of nothing is a look that needs no value to be there.
    read = _client().key_value_increment(_READ, 0)
    if read == number * (jax.process_count() - 1):
      _client().key_value_delete(_TOLD)


def _wait_for(key: str) -> str:
  while True:
    try:
      return _client().blocking_key_value_get(key, _LOOK_MS)
    except jax.errors.JaxRuntimeError as error:
      # Anything else says that the service is gone, and the run with it.
      if "DEADLINE_EXCEEDED" not in str(error):
        raise


def _client() -> Any:
  client = distributed.global_state.client
  assert client is not None  # There is more than one process.
  return client


def _said(error: BaseException) -> str:
  return str(error) or type(error).__name__
