# SPDX-License-Identifier: Apache-2.0
"""A model's folder, a run's or a Hugging Face one, made ready to answer.

Opening reads no weights: what is wrong with a folder, its tokenizer or the
prompts is said before minutes are spent on loading.
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import jax

from ramjax.data import template_recognition, templates
from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals.local_engine import LocalEngine
from ramjax.models import carried_files, fingerprint, open_model
from ramjax.tools import chat_files, loaded_model


@dataclasses.dataclass(frozen=True)
class LocalModel:
  """A language model on disk, its tokenizer and how it is spoken to.

  Attributes:
    source: Its weights; open.
    tokenizer: Its tokenizer.
    template: Name of its chat template.
    folder: Where it lies.
    step: Which checkpoint of a run; None is the newest.
    average: Whether it is a run's moving average.
  """

  source: open_model.Model
  tokenizer: Tokenizer
  template: str
  folder: pathlib.Path
  step: int | None
  average: bool

  def identity(self) -> dict[str, str]:
    """What tells this model from others, wherever it lies."""
    return {
      "fingerprint": fingerprint.fingerprint(self.source),
      "tokenizer": self.tokenizer.digest,
      "template": self.template,
    }

  def check_room(
    self, prompts: Sequence[Sequence[Message]], *, max_tokens: int
  ) -> None:
    """Refuses prompts that leave no room for an answer.

    Raises:
      ValueError: Which one, and what is too long.
    """
    room = self.source.config.max_positions - max_tokens
    for number, messages in enumerate(prompts, 1):
      length = len(
        tokenize_prompt(
          messages, template=self.template, tokenizer=self.tokenizer
        )
      )
      if length > room:
        raise ValueError(
          f"prompt {number} has {length} tokens, which with"
          f" max_tokens={max_tokens} is beyond the"
          f" {self.source.config.max_positions} positions the model is for:"
          " lower max_tokens, or leave that prompt out."
        )

  @contextlib.contextmanager
  def engine(
    self, *, num_slots: int, dtype: str | None = None
  ) -> Iterator[LocalEngine]:
    """Loads the weights onto all devices, which may take minutes.

    Args:
      num_slots: Answers that are continued at a time.
      dtype: See `loaded_model.load`.

    Raises:
      ValueError: The folder holds another model by now.
    """
    loaded = loaded_model.load(
      self.folder,
      step=self.step,
      average=self.average,
      template=self.template,
      dtype=dtype,
    )
    if loaded.fingerprint != self.identity()["fingerprint"]:
      raise ValueError(
        f"{self.folder} holds another model than a moment ago: does training go"
        " on there? Name a checkpoint with --step."
      )
    with jax.set_mesh(loaded.mesh):
      yield LocalEngine(
        loaded.params,
        loaded.config,
        tokenizer=loaded.tokenizer,
        template=self.template,
        num_slots=num_slots,
      )


def open_local(
  folder: pathlib.Path,
  *,
  step: int | None = None,
  average: bool = False,
  template: str = "",
) -> LocalModel:
  """Opens a model's folder; the caller closes `source`.

  Args:
    folder: A run's folder or a Hugging Face one.
    step: Which checkpoint of a run; None is the newest.
    average: Take a run's moving average of the weights.
    template: Name of a chat template; "" is that of the run, or the one of ours
      that spells like the folder's own.

  Raises:
    FileNotFoundError: No model there, or no tokenizer.
    ValueError: A classifier, another model's tokenizer, no template that is
      known, or a damaged file.
  """
  source = open_model.open_model(folder, step=step, average=average)
  try:
    config = source.config
    if config.num_labels:
      raise ValueError(
        f"{folder} holds a classifier (num_labels={config.num_labels}), which"
        " scores and does not answer: give a language model."
      )
    place = carried_files.tokenizer_folder(folder)
    if place is None:
      raise FileNotFoundError(
        f"{folder} has none of {', '.join(carried_files.VOCABULARIES)}: put the"
        " model's tokenizer there."
      )
    tokenizer = chat_files.load_tokenizer(place)
    if tokenizer.vocab_size > config.vocab_size:
      raise ValueError(
        f"the tokenizer in {place} has {tokenizer.vocab_size} tokens and the"
        f" model {config.vocab_size}: it is another model's. Put the right one"
        " there."
      )
    name = template or _template_of(folder, place, tokenizer)
    for token in templates.end_of_turn_tokens(name):
      tokenizer.special_id(token, template=name)  # Refuses one it lacks.
  except BaseException:
    source.close()
    raise
  return LocalModel(source, tokenizer, name, folder, step, average)


def _template_of(
  folder: pathlib.Path, place: pathlib.Path, tokenizer: Tokenizer
) -> str:
  """The template of a run's manifest, or that which the files spell."""
  trained = chat_files.trained_template(folder)
  if trained is not None:
    return trained
  remedy = f"name one with --template: {', '.join(templates.TEMPLATE_NAMES)}."
  text = chat_files.chat_template(place)
  if text is None:
    raise ValueError(f"{folder} does not say its chat template: {remedy}")

  def name_of(token: int | None) -> str:
    return "" if token is None else tokenizer.decode([token], keep_special=True)

  try:
    found = template_recognition.recognise(
      text,
      bos_token=name_of(tokenizer.bos_id),
      eos_token=name_of(tokenizer.eos_id),
    )
  # RuntimeError: the sandbox cannot start on this machine.
  except (ValueError, RuntimeError) as error:
    raise ValueError(
      f"the chat template in {place} cannot be tried ({error}): {remedy}"
    ) from error
  if found is None:
    raise ValueError(
      f"the chat template in {place} spells like none of ours: {remedy}"
    )
  return found
