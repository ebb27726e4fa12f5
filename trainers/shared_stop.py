# SPDX-License-Identifier: Apache-2.0
"""SIGTERM to any process of a run stops all of them after the same step.

A wish to stop travels as a number that is summed over all devices, once a step,
like a gradient: every process reads the same sum at the same place, so none
waits in a collective that another has left. Within a rollout, which takes longer
than many steps, the first process says after each answer whether it has come.
"""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ramjax.trainers import processes
from ramjax.trainers.sigterm import Sigterm, Stopped
from ramjax.trainers.state import TrainState

# All processes count alike: what stopped one run is no wish to stop the next.
_runs = itertools.count()


class SharedStop(Sigterm):
  """A context in which SIGTERM, wherever it arrives, is noted everywhere.

  JAX's own `reached_preemption_sync_point` is not used: it takes the signal
  handler for itself, and a signal that comes while data and weights load names
  a step that a continued run has behind it and so never reaches.
  """

  def __init__(self, mesh: Mesh, *, alone: bool):
    """Nothing is done before the context is entered.

    Args:
      mesh: Of the updates: all devices of all processes.
      alone: Whether this is the only process, which needs to ask nobody.
    """
    super().__init__()
    self._alone = alone
    self._topic = f"stop {next(_runs)}"
    self._split = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    self._sum = jax.jit(
      _sum_then_step, out_shardings=NamedSharding(mesh, PartitionSpec())
    )
    self._num_local = len(mesh.local_devices)
    self._asked: Any = None

  def passed(self, state: TrainState) -> TrainState:
    """Stops every process before the same step, or lets all of them pass.

    Called once a step by each of them. With several, a signal counts one step
    after the call that first saw it: the sum of the last call is read, which is
    there by now, and not that of this one, which would have to be waited for.

    Args:
      state: Of the run.

    Returns:
      The state to go on with. The sum is taken after the step that made it and
      before the one that takes it: those of two programs that run at a time, as
      a CPU's do, could be mistaken for each other.

    Raises:
      Stopped: The signal came to one of them; `state` is as it was.
    """
    if self._alone:
      self.check()
      return state
    wishes = np.full(self._num_local, self.received, np.int32)
    before = self._asked
    self._asked, step = self._sum(
      jax.make_array_from_process_local_data(self._split, wishes), state.step
    )
    if before is not None and int(before):
      raise Stopped
    return dataclasses.replace(state, step=step)

  @property
  def heard(self) -> bool:
    """Whether the signal came, as far as this process may act on it alone."""
    return self._alone and self.received

  def check(self) -> None:
    """Raises if the signal came; in every process of a run at the same call.

    Raises:
      Stopped: It did, to any of them.
    """
    if processes.any_says(self._topic, self.received):
      raise Stopped


def _sum_then_step(wishes: jax.Array, step: jax.Array) -> Any:
  """The sum, and the step as a result of the same program."""
  total = jnp.sum(wishes)
  return total, step + 0 * total
