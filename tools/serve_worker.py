# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the model: requests of all clients share its batch.

Everything that touches the device happens here, so no two programs compete for
its memory, and a request that arrives joins those that are being answered.
"""

import collections
import dataclasses
import itertools
import logging
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from ramjax.models import sampler
from ramjax.models import slots as slots_lib
from ramjax.tools import serve_scores
from ramjax.tools.loaded_model import LoadedModel
from ramjax.tools.serve_errors import ApiError
from ramjax.tools.serve_scores import Scores

# Tokens of each row between two looks at who came and who went.
_TOKENS_STREAMED = 4
_TOKENS_UNSEEN = 16

_log = logging.getLogger(__name__)

Event = sampler.Update | Scores | ApiError


@dataclasses.dataclass(frozen=True)
class Generate:
  """A continuation that is asked for.

  Attributes:
    request: Of the sampler.
    streamed: Whether somebody reads along; else only its end is told.
    notify: Given each event, in this module's thread: it must return at once.
  """

  request: sampler.Request
  streamed: bool
  notify: Callable[[Event], None]


@dataclasses.dataclass(frozen=True)
class Score:
  """Log-probabilities of `tokens[first:]`; see `serve_scores.score`."""

  tokens: np.ndarray
  first: int
  notify: Callable[[Event], None]


Job = Generate | Score


class Worker:
  """Answers jobs in its own thread until it is closed.

  Attributes:
    max_length: Tokens of a prompt with its continuation, at most.
  """

  def __init__(
    self,
    model: LoadedModel,
    *,
    num_slots: int,
    max_length: int,
    max_waiting: int,
  ):
    """Starts the thread; nothing is compiled before the first job.

    Args:
      model: What answers.
      num_slots: Continuations at a time.
      max_length: Tokens of a prompt with its continuation, at most.
      max_waiting: Jobs beyond those that have a slot.
    """
    self.max_length = max_length
    self._model = model
    self._num_slots = num_slots
    self._most_jobs = num_slots + max_waiting
    self._names = itertools.count()
    # Shared with other threads, under this lock.
    self._changed = threading.Condition()
    self._jobs: dict[int, Job] = {}
    self._new: list[int] = []
    self._cancelled: list[int] = []
    self._closed = False
    # Of this thread alone.
    self._waiting: collections.deque[int] = collections.deque()
    self._batch: sampler.ContinuousBatch | None = None
    self._in_batch: set[int] = set()
    self._features = slots_lib.Features()
    self._thread = threading.Thread(
      target=self._run, name="ramjax-serve-model", daemon=True
    )
    self._thread.start()

  @property
  def alive(self) -> bool:
    """Whether jobs are taken."""
    return not self._closed and self._thread.is_alive()

  @property
  def most_jobs(self) -> int:
    """Jobs that are taken at a time, with a slot or waiting."""
    return self._most_jobs

  @property
  def num_jobs(self) -> int:
    """Jobs that have not ended."""
    with self._changed:
      return len(self._jobs)

  def submit(
    self, jobs: Sequence[Job], *, follow_up: bool = False
  ) -> list[int]:
    """Takes all of the jobs, or none.

    Args:
      jobs: What to do, in this order.
      follow_up: Whether they belong to something that was taken already: they
        are then taken however much is waiting.

    Returns:
      Their names, for `cancel`.

    Raises:
      ApiError: Too many jobs wait, or the server shuts down.
    """
    with self._changed:
      if not self.alive:
        raise _shutting_down()
      if not follow_up and len(self._jobs) + len(jobs) > self._most_jobs:
        raise ApiError(
          429,
          f"{len(self._jobs)} answers are being written or waited for, and at"
          f" most {self._most_jobs} are: try again later.",
          code="queue_full",
        )
      names = [next(self._names) for _ in jobs]
      self._jobs.update(zip(names, jobs, strict=True))
      self._new += names
      self._changed.notify()
    return names

  def cancel(self, names: Iterable[int]) -> None:
    """Forgets jobs, where they have not ended; nothing is told of them."""
    with self._changed:
      live = [name for name in names if self._jobs.pop(name, None) is not None]
      self._cancelled += live
      self._changed.notify()

  def close(self) -> None:
    """Ends the thread; jobs that have not ended are told so."""
    with self._changed:
      self._closed = True
      self._changed.notify()
    self._thread.join()

  def _run(self) -> None:
    try:
      with jax.set_mesh(self._model.mesh):
        while self._take_news():
          self._start_waiting()
          self._advance()
    finally:
      with self._changed:
        self._closed = True
        names = list(self._jobs)
      for name in names:
        self._end(name, _shutting_down())

  def _take_news(self) -> bool:
    """Waits for something to do; False once closed."""
    with self._changed:
      while not (
        self._closed
        or self._new
        or self._cancelled
        or self._waiting
        or self._in_batch
      ):
        self._changed.wait()
      new, self._new = self._new, []
      gone, self._cancelled = set(self._cancelled), []
      closed = self._closed
    self._waiting.extend(new)
    self._waiting = collections.deque(n for n in self._waiting if n not in gone)
    for name in gone & self._in_batch:
      assert self._batch is not None
      self._batch.cancel(name)
      self._in_batch.discard(name)
    return not closed

  def _start_waiting(self) -> None:
    """Hands waiting jobs to the batch, in their order.

    What needs a feature that the batch is not compiled for waits until the
    batch is empty, and all behind it do; the next batch has the feature, and
    keeps it. One that only scores is done at once.
    """
    while self._waiting:
      job = self._job(self._waiting[0])
      if isinstance(job, Generate) and not self._prepare(job):
        return
      name = self._waiting.popleft()
      if job is None:
        continue
      try:
        if isinstance(job, Generate):
          assert self._batch is not None
          self._batch.submit(name, job.request)
          self._in_batch.add(name)
        else:
          self._end(name, self._score(job))
          return  # One at a time: rows wait for it.
      except Exception as error:
        self._end(name, _failure(error))

  def _prepare(self, job: Generate) -> bool:
    """Whether the batch can take the job; makes a new one where it may."""
    needed = dataclasses.asdict(sampler.features_of([job.request.options]))
    known = dataclasses.asdict(self._features)
    both = {name: known[name] or needed[name] for name in known}
    if self._batch is not None and both == known:
      return True
    if self._in_batch:
      return False
    self._batch = None  # Its memory is needed.
    self._features = slots_lib.Features(**both)
    try:
      self._batch = sampler.ContinuousBatch(
        self._model.params,
        self._model.config,
        num_slots=self._num_slots,
        max_length=self.max_length,
        max_tokens=self.max_length,
        features=self._features,
        vocab_size=self._model.tokenizer.vocab_size,
      )
    except Exception as error:
      self._end(self._waiting.popleft(), _failure(error))
      return False
    return True

  def _advance(self) -> None:
    if self._batch is None or not self._in_batch:
      return
    streamed = any(
      isinstance(job := self._job(name), Generate) and job.streamed
      for name in self._in_batch
    )
    try:
      updates = self._batch.advance(
        _TOKENS_STREAMED if streamed else _TOKENS_UNSEEN
      )
    except Exception as error:
      failure = _failure(error)
      self._batch = None  # Its buffers may be gone.
      for name in list(self._in_batch):
        self._end(name, failure)
      return
    for update in updates:
      if update.sample is not None:
        self._end(update.name, update)
      else:
        job = self._job(update.name)
        if isinstance(job, Generate) and job.streamed:
          job.notify(update)

  def _score(self, job: Score) -> Scores:
    return serve_scores.score(
      self._model.params,
      self._model.config,
      job.tokens,
      first=job.first,
      vocab_size=self._model.tokenizer.vocab_size,
    )

  def _job(self, name: int) -> Job | None:
    """The job of that name; None if it was cancelled just now."""
    with self._changed:
      return self._jobs.get(name)

  def _end(self, name: int, event: Event) -> None:
    self._in_batch.discard(name)
    with self._changed:
      job = self._jobs.pop(name, None)
    if job is not None:
      job.notify(event)


def _shutting_down() -> ApiError:
  return ApiError(503, "the server is shutting down.", code="unavailable")


def _failure(error: Exception) -> ApiError:
  """Logs an error, without its message, which might quote what was asked."""
  frames = "".join(traceback.format_tb(error.__traceback__))
  # The device's own messages speak of memory, never of texts.
  is_device = isinstance(error, jax.errors.JaxRuntimeError)
  told = str(error)[:300] if is_device else ""
  _log.error("%s %s\n%s", type(error).__name__, told, frames)
  return ApiError(
    500,
    f"the model failed ({type(error).__name__}); the server's log says where.",
    code="model_failure",
  )
