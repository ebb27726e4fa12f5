# SPDX-License-Identifier: Apache-2.0
"""What processes tell each other; threads stand in for them, a dict for the service.

`test_several_processes.py` has real ones.
"""

import concurrent.futures
import contextlib
import importlib.util
import threading
import time
import types

import jax
import pytest

from ramjax.trainers import processes
from ramjax.trainers.checkpoint_step import ReadError
from ramjax.trainers.run_error import PassingError


class _Service:
  """The key-value store of `jax.distributed`, as far as it is used."""

  def __init__(self):
    self.values = {}
    self._changed = threading.Condition()

  def key_value_set(self, key, value):
    with self._changed:
      if key in self.values:
        raise jax.errors.JaxRuntimeError(f"ALREADY_EXISTS: {key}")
      self.values[key] = value
      self._changed.notify_all()

  def key_value_increment(self, key, by):
    with self._changed:
      self.values[key] = self.values.get(key, 0) + by
      return self.values[key]

  def key_value_delete(self, key):
    with self._changed:
      self.values = {
        k: value for k, value in self.values.items() if not k.startswith(key)
      }

  def key_value_try_get(self, key):
    with self._changed:
      if key not in self.values:
        raise jax.errors.JaxRuntimeError(f"NOT_FOUND: {key}")
      return self.values[key]

  def blocking_key_value_get(self, key, timeout_ms):
    del timeout_ms
    with self._changed:
      if not self._changed.wait_for(lambda: key in self.values, 0.01):
        raise jax.errors.JaxRuntimeError("DEADLINE_EXCEEDED: not there yet")
      return self.values[key]


@pytest.fixture
def service():
  return _Service()


def _process(index, num, service):
  """The module as process `index` of `num` has it."""
  spec = importlib.util.find_spec("ramjax.trainers.processes")
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  module.jax = types.SimpleNamespace(
    process_index=lambda: index,
    process_count=lambda: num,
    local_devices=jax.local_devices,
    set_mesh=lambda mesh: contextlib.nullcontext(),
    errors=jax.errors,
  )
  module._client = lambda: service
  return module


def _on_each(num, service, do):
  """What `do(module, index)` returns or raises in each of `num` processes."""
  modules = [_process(index, num, service) for index in range(num)]
  with concurrent.futures.ThreadPoolExecutor(num) as pool:
    running = [pool.submit(do, m, i) for i, m in enumerate(modules)]
    return [one.exception(timeout=300) or one.result() for one in running]


def test_the_first_process_alone_makes_what_all_are_told(service):
  asked = []

  def do(module, index):
    def make():
      asked.append(index)
      return {"made by": index, "pair": (1, 2)}

    return module.first_tells(make)

  assert _on_each(3, service, do) == [{"made by": 0, "pair": [1, 2]}] * 3
  assert asked == [0]


def test_others_wait_for_as_long_as_it_takes(service):
  def do(module, index):
    def make():
      time.sleep(0.1)  # Ten looks of the others.
      return "late"

    return module.first_tells(make)

  assert _on_each(2, service, do) == ["late", "late"]


@pytest.mark.parametrize("failing", [0, 1])
def test_who_waits_hears_of_a_failure_of_another(service, failing):
  def do(module, index):
    with module.failing_together():
      if index == failing:
        raise FileNotFoundError("the weights are gone")
      return module.gather(index)

  found = _on_each(3, service, do)
  assert isinstance(found.pop(failing), FileNotFoundError)
  said = f"process {failing} failed: the weights are gone"
  assert [str(error) for error in found] == [said] * 2


@pytest.mark.parametrize(
  ("error", "passes"),
  [
    (jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllReduce failed"), True),
    (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GB"), False),
  ],
)
def test_what_was_lost_in_one_may_pass_in_all(service, error, passes):
  def do(module, index):
    with module.failing_together():
      if index == 1:
        raise error
      return module.gather(index)

  (heard, _) = _on_each(2, service, do)
  assert isinstance(heard, PassingError if passes else ValueError)
  assert str(error) in str(heard)


@pytest.mark.parametrize("wishing", [0, 2])
def test_what_one_says_all_hear_at_one_call(service, wishing):
  def do(module, index):
    heard = []
    while not any(heard):
      wish = index == wishing and len(heard) >= 3
      heard.append(module.any_says("a topic", wish))
    return heard, module.any_says("another", False)

  found = _on_each(3, service, do)
  assert found[0] == found[1] == found[2]
  (heard, of_another), *_ = found
  assert not of_another
  # Threads do not wait for each other, as a computation on all devices would
  # have them: the first may ask often before another has come to its fourth call.
  assert len(heard) >= 4


def test_alone_one_hears_itself_and_asks_nobody(service):
  alone = _process(0, 1, service)
  assert alone.any_says("a topic", True)
  assert not alone.any_says("a topic", False)
  assert not service.values


def test_all_fail_where_the_first_does_and_say_why(service):
  def do(module, index):
    def make():
      raise OSError("the disk is full")

    return module.first_tells(make)

  first, second = _on_each(2, service, do)
  assert isinstance(first, OSError)
  assert isinstance(second, ValueError)
  assert str(second) == "process 0 failed: the disk is full"


def test_what_may_pass_for_one_may_pass_for_all(service):
  def do(module, index):
    def read():
      if index == 1:
        raise ReadError("the disk does not answer")

    return module.together(read)

  for result in _on_each(3, service, do):
    assert isinstance(result, PassingError)
    assert str(result).endswith("the disk does not answer")


def test_all_fail_where_any_does_and_name_it(service):
  def do(module, index):
    def load():
      if index == 1:
        raise FileNotFoundError("rows.jsonl does not exist")
      # It waits for nobody who has failed.
      return module.first_tells(lambda: "trained")

    return module.together(load)

  first, second, third = _on_each(3, service, do)
  assert isinstance(second, FileNotFoundError)
  for other in (first, third):
    assert isinstance(other, ValueError)
    assert str(other) == "process 1 failed: rows.jsonl does not exist"


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("before", [0, 3])
def test_none_waits_for_one_that_fails_before_it_tells(
  service, failing, before
):
  def do(module, index):
    def load():
      for number in range(before):
        module.first_tells(lambda told=number: told)
        module.together(lambda: None)
      if index == failing:
        raise FileNotFoundError("rows.jsonl does not exist")
      return module.together(lambda: module.first_tells(lambda: "trained"))

    return module.together(load)

  results = _on_each(3, service, do)
  assert isinstance(results.pop(failing), FileNotFoundError)
  said = f"process {failing} failed: rows.jsonl does not exist"
  assert [str(error) for error in results] == [said] * 2
  # Lost devices are told by JAX's errors, and this is none of them.
  assert [error.__context__ for error in results] == [None] * 2


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_after_a_failure_all_are_at_one_place_again(service, failing):
  def do(module, index):
    said = []
    for attempt in range(3):

      def load(attempt=attempt):
        if attempt < 2 and index == failing:
          raise OSError(f"attempt {attempt}")
        told = module.first_tells(lambda: 10 * attempt)
        return module.together(lambda: told + index)

      try:
        said.append(module.together(load))
      except (OSError, ValueError) as error:
        said.append(str(error))
    return [*said, module.gather(index), module.first_tells(lambda: "end")]

  results = _on_each(3, service, do)
  for index, result in enumerate(results):
    start = "" if index == failing else f"process {failing} failed: "
    assert result[:2] == [f"{start}attempt 0", f"{start}attempt 1"]
    assert result[2:] == [20 + index, [0, 1, 2], "end"]


def test_each_that_fails_of_itself_says_its_own(service):
  def do(module, index):
    def load():
      if index:
        raise OSError(f"disk {index}")
      return module.first_tells(lambda: 1)

    return module.together(load)

  first, second, third = _on_each(3, service, do)
  assert (str(second), str(third)) == ("disk 1", "disk 2")
  assert str(first) in ("process 1 failed: disk 1", "process 2 failed: disk 2")


def test_each_keeps_its_own_result_where_none_fails(service):
  def do(module, index):
    return module.together(lambda: 10 * index)

  assert _on_each(3, service, do) == [0, 10, 20]


def test_what_all_have_read_is_forgotten(service):
  def do(module, index):
    for number in range(50):
      assert module.first_tells(lambda n=number: n) == number
      # As a computation on all devices does.
      module.together(lambda: None)

  assert _on_each(3, service, do) == [None] * 3
  counters = {"ramjax/0/read"}
  assert service.values.keys() - counters == {
    "ramjax/0/told/50",
    *(f"ramjax/0/gathered/50/{name}" for name in ("1", "2", "all")),
  }


def test_a_service_that_is_gone_is_no_reason_to_wait_on(service):
  def gone(key, timeout_ms):
    raise jax.errors.JaxRuntimeError("UNAVAILABLE: connection refused")

  service.blocking_key_value_get = gone
  second = _process(1, 2, service)
  with pytest.raises(jax.errors.JaxRuntimeError, match="UNAVAILABLE"):
    second.first_tells(lambda: 1)


def test_what_shows_late_is_seen_and_what_never_shows_is_not(monkeypatch):
  looks = iter([False, False, True])
  assert processes.sees(lambda: next(looks))
  monkeypatch.setattr(processes, "_SHARED_SECONDS", 0)
  assert not processes.sees(lambda: False)


def test_one_process_asks_nobody():
  assert processes.is_first()
  assert processes.first_tells(lambda: (1, 2)) == (1, 2)
  assert processes.together(lambda: 3) == 3
  with pytest.raises(OSError, match="no disk"):
    processes.together(lambda: (_ for _ in ()).throw(OSError("no disk")))
