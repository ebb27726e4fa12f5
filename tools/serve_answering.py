# SPDX-License-Identifier: Apache-2.0
"""One request under way: its jobs, and what becomes of them."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable

import numpy as np

from ramjax.evals import sample_seeds
from ramjax.evals.answer_text import AnswerText
from ramjax.models import sampler
from ramjax.tools.loaded_model import LoadedModel
from ramjax.tools.serve_errors import ApiError, invalid
from ramjax.tools.serve_requests import Asked
from ramjax.tools.serve_scores import Scores
from ramjax.tools.serve_worker import Event, Generate, Job, Score, Worker

_NOTHING = sampler.Sample(
  tokens=np.zeros(0, np.int32),
  logps=np.zeros(0, np.float32),
  drawn_logps=np.zeros(0, np.float32),
  finished=False,
)


@dataclasses.dataclass(frozen=True)
class Choice:
  """One answer that has ended.

  Attributes:
    index: Among the answers of the request.
    prompt: [P] int32.
    text: Of the answer alone.
    sample: What was sampled; of no tokens where nothing was to be.
    scores: Of the prompt's tokens but the first (where they are echoed), then
      of the answer's; None where the sample's own log-probabilities do.
  """

  index: int
  prompt: np.ndarray
  text: str
  sample: sampler.Sample
  scores: Scores | None


@dataclasses.dataclass(frozen=True)
class Piece:
  """What was added to an answer; `choice` comes with its last piece."""

  index: int
  text: str
  choice: Choice | None


class Answering:
  """The answers to one request, from the first token to the last."""

  def __init__(self, worker: Worker, model: LoadedModel, asked: Asked):
    """Puts the request into the worker's queue; call it in the event loop.

    Args:
      worker: Who computes.
      model: The worker's.
      asked: What for.

    Raises:
      ApiError: It is more than is ever taken, or too much is waiting.
    """
    self._worker = worker
    self._model = model
    self._asked = asked
    self._loop = asyncio.get_running_loop()
    self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
    self._names: list[int] = []
    self._samples: dict[int, sampler.Sample] = {}
    self._texts = [self._text() for _ in range(self._num_answers)]
    if self._num_answers > worker.most_jobs:
      raise invalid(
        "n",
        f"{self._num_answers} answers are asked for at once; this server takes"
        f" {worker.most_jobs} at most.",
      )
    jobs = [self._job(i) for i in range(self._num_answers)]
    self._names += worker.submit(jobs)

  @property
  def _num_answers(self) -> int:
    return len(self._asked.prompts) * self._asked.num_choices

  async def pieces(self) -> AsyncIterator[Piece]:
    """Every piece of every answer, as they come.

    Raises:
      ApiError: The model failed, or the server shuts down.
    """
    num_ended = 0
    while num_ended < self._num_answers:
      index, event = await self._events.get()
      if isinstance(event, ApiError):
        raise event
      if isinstance(event, sampler.Update):
        if event.sample is None:
          if text := self._texts[index].piece(event.tokens, ended=False):
            yield Piece(index, text, None)
          continue
        self._samples[index] = event.sample
        if job := self._scoring(index):
          self._names += self._worker.submit([job], follow_up=True)
          continue
        scores = None
      else:
        scores = event
      choice = self._choice(index, scores)
      num_ended += 1
      text = self._texts[index].piece(choice.sample.tokens, ended=True)
      yield Piece(index, text, choice)

  async def choices(self) -> list[Choice]:
    """All answers, in their order; see `pieces`."""
    found = [
      piece.choice async for piece in self.pieces() if piece.choice is not None
    ]
    return sorted(found, key=lambda choice: choice.index)

  def cancel(self) -> None:
    """Gives up what has not ended."""
    self._worker.cancel(self._names)

  def _text(self) -> AnswerText:
    return AnswerText(
      self._model.tokenizer,
      ends=self._asked.options.stop_tokens,
      stop=self._asked.stop,
      strip=self._asked.is_chat,
    )

  def _prompt(self, index: int) -> np.ndarray:
    return self._asked.prompts[index // self._asked.num_choices]

  def _job(self, index: int) -> Job:
    asked = self._asked
    if not asked.generates:
      self._samples[index] = _NOTHING
      return self._scoring(index) or Score(
        self._prompt(index), len(self._prompt(index)), self._notifier(index)
      )
    return Generate(
      sampler.Request(
        prompt=self._prompt(index),
        options=asked.options,
        seed=_seed_of(asked.seed, index % asked.num_choices),
        cut=self._texts[index].cut if asked.stop else None,
      ),
      streamed=asked.stream,
      notify=self._notifier(index),
    )

  def _scoring(self, index: int) -> Score | None:
    """What is left to score of an answer that has ended."""
    asked = self._asked
    if not asked.logprobs or not (asked.echoes or asked.num_top):
      return None
    prompt = self._prompt(index)
    tokens = np.concatenate([prompt, self._samples[index].tokens])
    first = 1 if asked.echoes else len(prompt)
    return Score(tokens, first, self._notifier(index))

  def _notifier(self, index: int) -> Callable[[Event], None]:
    def notify(event: Event) -> None:
      if not self._loop.is_closed():
        self._loop.call_soon_threadsafe(self._events.put_nowait, (index, event))

    return notify

  def _choice(self, index: int, scores: Scores | None) -> Choice:
    sample = self._samples[index]
    return Choice(
      index=index,
      prompt=self._prompt(index),
      text=self._texts[index].whole(sample.tokens),
      sample=sample,
      scores=scores if self._asked.logprobs else None,
    )


def _seed_of(seed: int, choice: int) -> int:
  """The seed of each of several answers to a prompt; the first has `seed`.

  The second answer of one seed is not the first of the next.
  """
  return sample_seeds.sample_seed(seed, 0, choice) if choice else seed
