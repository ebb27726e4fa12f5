# SPDX-License-Identifier: Apache-2.0
"""What looks on while a run prepares and trains: account, watchdog, profiler.

None of them changes what is computed.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from ramjax.trainers import goodput as goodput_lib
from ramjax.trainers.goodput import Goodput, Phase
from ramjax.trainers.profile_steps import Profile
from ramjax.trainers.replicas import ReplicaCheck
from ramjax.trainers.state import TrainState
from ramjax.trainers.watchdog import Watchdog


@dataclasses.dataclass
class Watch:
  """The onlookers of a run; a context in which they look.

  Attributes:
    goodput: Where the time goes.
    watchdog: Ends a run that hangs.
    profile: Traces some steps.
    replicas: Compares copies.
  """

  goodput: Goodput
  watchdog: Watchdog
  profile: Profile
  replicas: ReplicaCheck
  _is_compiled: bool = dataclasses.field(default=False, init=False)

  @contextlib.contextmanager
  def looking(self, step: int) -> Iterator[None]:
    """They look on, from after `step` until the context ends."""
    self.goodput.begin(step)
    self._is_compiled = False
    with self.watchdog, self.profile:
      yield

  @contextlib.contextmanager
  def preparing(self, doing: str) -> Iterator[None]:
    """A stretch before the first step: the watchdog alone looks on.

    Args:
      doing: What, for its message.
    """
    with self.watchdog, self.watchdog.during(doing):
      yield

  @contextlib.contextmanager
  def phase(self, name: str) -> Iterator[Phase]:
    """A stretch that is no step, and may take longer than one."""
    with self.watchdog.during(name), self.goodput.phase(name) as p:
      yield p

  def step_done(self, step: int) -> None:
    """The figures of a step are on the host."""
    self.watchdog.beat()
    self.goodput.step_done(step)

  @contextlib.contextmanager
  def starting(self, step: int) -> Iterator[None]:
    """The call that queues a step; the first one compiles it."""
    self.profile.before(step)
    if self._is_compiled:
      yield
      return
    with self.phase(goodput_lib.COMPILE):
      yield
    self._is_compiled = True

  def after(self, step: int, state: TrainState, metrics: Any) -> None:
    """Behind a step that is queued: ends a trace, compares copies.

    Raises:
      ReplicaError: Some differ.
    """
    self.profile.after(step, metrics)
    if self.replicas.due(step):
      with self.phase(goodput_lib.REPLICAS):
        self.replicas.check(state, step)
