# SPDX-License-Identifier: Apache-2.0
"""One model in a chat: its own history, and the answer it is writing."""

import dataclasses

import jax
import numpy as np

from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.evals.answer_text import AnswerText
from ramjax.models import sampler
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools.loaded_model import LoadedModel

# Tokens between two looks: few, so that they seem to flow.
_TOKENS_SHOWN = 4
_MOST_POSITIONS = 8192


class Speaker:
  """Holds a conversation with one model.

  Attributes:
    name: What it is called.
    system: The system message; "" is none.
    turns: The user's and the model's, in alternation.
  """

  def __init__(self, name: str, model: LoadedModel, options: SamplingOptions):
    """Cheap: nothing is compiled before the first answer.

    Args:
      name: What it is called.
      model: With a chat template.
      options: How it is sampled; the template's ends of turns end it, too.

    Raises:
      ValueError: It has no chat template.
    """
    if model.template is None:
      raise ValueError(
        f"{name} has no chat template that is known here: name the one to use"
        " with --template (or --template-against)."
      )
    self.name = name
    self.system = ""
    self.turns: list[Message] = []
    self._model = model
    self._template = model.template
    self._options = dataclasses.replace(options, stop_tokens=model.turn_ends)
    self._max_length = min(model.config.max_positions, _MOST_POSITIONS)
    self._batch: sampler.ContinuousBatch | None = None
    self._text: AnswerText | None = None
    self._pieces: list[str] = []

  @property
  def messages(self) -> tuple[Message, ...]:
    """The conversation so far."""
    system = [Message("system", self.system)] if self.system else []
    return (*system, *self.turns)

  @property
  def writing(self) -> bool:
    """Whether an answer has begun and not ended."""
    return self._text is not None

  def ask(self, content: str, *, seed: int) -> None:
    """Adds a turn of the user's and begins to answer.

    Args:
      content: The turn.
      seed: Of the answer.

    Raises:
      ValueError: The conversation no longer fits; it is then as it was.
    """
    turn = Message("user", content)
    prompt = tokenize_prompt(
      (*self.messages, turn),
      template=self._template,
      tokenizer=self._model.tokenizer,
    )
    room = self._max_length - len(prompt)
    if room < 1:
      raise ValueError(
        f"the conversation has {len(prompt):,} tokens, and {self.name} is run"
        f" with {self._max_length:,} positions: /undo or /reset."
      )
    options = dataclasses.replace(
      self._options, max_tokens=min(self._options.max_tokens, room)
    )
    with jax.set_mesh(self._model.mesh):
      batch = self._batch = self._batch or self._new_batch()
      batch.submit(0, sampler.Request(prompt, options, seed))
    self.turns.append(turn)
    self._text = AnswerText(
      self._model.tokenizer, ends=options.stop_tokens, strip=True
    )
    self._pieces = []

  def go_on(self) -> str:
    """Writes a few tokens; returns what can be shown of them.

    After the last of them the answer is part of `turns`.
    """
    assert self._batch is not None and self._text is not None
    with jax.set_mesh(self._model.mesh):
      updates = self._batch.advance(_TOKENS_SHOWN)
    new = ""
    for update in updates:
      ended = update.sample is not None
      piece = self._text.piece(np.asarray(update.tokens), ended=ended)
      self._pieces.append(piece)
      new += piece
      if ended:
        self._finish()
    return new

  def stop(self) -> None:
    """Ends the answer here; what was written of it stays."""
    if self.writing:
      assert self._batch is not None
      with jax.set_mesh(self._model.mesh):
        self._batch.cancel(0)
      self._finish()

  def undo(self) -> bool:
    """Forgets the last exchange; False if there is none."""
    had = bool(self.turns)
    del self.turns[-2:]
    return had

  def _finish(self) -> None:
    self.turns.append(Message("assistant", "".join(self._pieces)))
    self._text = None

  def _new_batch(self) -> sampler.ContinuousBatch:
    return sampler.ContinuousBatch(
      self._model.params,
      self._model.config,
      num_slots=1,
      max_length=self._max_length,
      max_tokens=min(self._options.max_tokens, self._max_length),
      features=sampler.features_of([self._options]),
      vocab_size=self._model.tokenizer.vocab_size,
    )
