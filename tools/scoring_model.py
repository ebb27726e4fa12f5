# SPDX-License-Identifier: Apache-2.0
"""Models on disk that are to score answers, opened and not yet loaded.

Opening reads no weights: what is wrong with folders, options or data is said
before minutes are spent on loading.
"""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import tqdm

from ramjax.data import templates
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import response_scorers
from ramjax.evals.padded_rows import Row
from ramjax.evals.response_scorers import REWARD
from ramjax.models import fingerprint
from ramjax.models import open_model as open_model_lib
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_folder import HFFolder
from ramjax.tools import eval_likelihood, loaded_model
from ramjax.tools.eval_likelihood import NO_TEMPLATE
from ramjax.tools.loaded_model import LoadedModel

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class OpenedModel:
  """A model on disk, as it was when it was opened."""

  folder: pathlib.Path
  step: int | None
  average: bool
  config: LlamaConfig
  dtype: str
  tokenizer: Tokenizer
  template: str | None
  fingerprint: str

  def load(self) -> LoadedModel:
    """Loads the weights onto all devices; minutes where they are many."""
    loaded = loaded_model.load(
      self.folder,
      step=self.step,
      average=self.average,
      template=self.template or NO_TEMPLATE,
      dtype=self.dtype,
      num_labels=self.config.num_labels,
    )
    if loaded.fingerprint != self.fingerprint:
      raise ValueError(
        f"{self.folder} holds another model than a moment ago: does training go"
        " on there? Name a checkpoint with --step."
      )
    return loaded

  def identity(self) -> dict[str, Any]:
    """What tells this model from others, wherever it lies."""
    return {
      "fingerprint": self.fingerprint,
      "tokenizer": self.tokenizer.digest,
      "template": self.template,
      "step": self.step,
      "average": self.average,
      "dtype": self.dtype,
    }


@dataclasses.dataclass(frozen=True)
class Scoring:
  """A model that is to score answers, and how.

  Attributes:
    kind: One of `response_scorers.KINDS`.
    beta: Of an implicit reward.
    model: The model.
    reference: What it is compared with, if it is.
    max_length: Tokens of a prompt with its answer at most.
    batch_size: Answers that are scored at a time, at most.
  """

  kind: str
  beta: float
  model: OpenedModel
  reference: OpenedModel | None
  max_length: int
  batch_size: int

  def template(self, *, of_text: bool = False) -> str:
    """The chat template's name; any where there is raw text alone.

    Raises:
      ValueError: It is not known.
    """
    if self.model.template is None and not of_text:
      raise ValueError(
        f"{self.model.folder} does not say its chat template, or has none of"
        f" ours: name it with --template: {', '.join(templates.TEMPLATE_NAMES)}."
      )
    return self.model.template or NO_TEMPLATE

  def tokenized(
    self, make: Callable[[Tokenizer], tuple[list[Row], T]]
  ) -> tuple[list[Row], T]:
    """Tokenises for the model, and sees to it that a reference reads the same.

    Args:
      make: To rows, and what else is to be known of them.

    Raises:
      ValueError: The two tokenizers differ on these rows, or what `make` raises.
    """
    rows, more = make(self.model.tokenizer)
    theirs = None if self.reference is None else self.reference.tokenizer
    if theirs is None or theirs.digest == self.model.tokenizer.digest:
      return rows, more
    others, _ = make(theirs)
    if len(rows) != len(others) or not all(
      np.array_equal(one.tokens, other.tokens)
      for one, other in zip(rows, others, strict=True)
    ):
      raise ValueError(
        f"{theirs.path} encodes the data differently than"
        f" {self.model.tokenizer.path}: the two models' log-probabilities are of"
        " other tokens. Name a --reference with the model's tokenizer."
      )
    return rows, more

  def score(self, rows: Sequence[Row], places: Sequence[str]) -> np.ndarray:
    """Scores rows; says how far it is on a terminal.

    Args:
      rows: To score; those that cannot be are refused before loading.
      places: Of each row, for messages.

    Returns:
      [n] float64.

    Raises:
      ValueError: What `ResponseScorer.score` raises, or too little memory.
    """
    models = [x for x in (self.model, self.reference) if x is not None]
    for model in models:
      response_scorers.check_rows(
        rows, model.config, kind=self.kind, places=places
      )
    with (
      eval_likelihood.memory_named(),
      tqdm.tqdm(
        total=len(models) * len(rows),
        unit="answer",
        dynamic_ncols=True,
        disable=not sys.stderr.isatty(),
      ) as bar,
    ):
      return response_scorers.ResponseScorer(
        kind=self.kind,
        load=self.model.load,
        load_reference=None if self.reference is None else self.reference.load,
        beta=self.beta,
        batch_size=self.batch_size,
      ).score(rows, bar.update, places=places)

  def identity(self) -> dict[str, Any]:
    """For `evaluation.json`."""
    more: dict[str, Any] = {}
    if self.reference is not None:
      folder = str(self.reference.folder)
      reference = {"folder": folder, **self.reference.identity()}
      more = {"beta": self.beta, "reference": reference}
    return {
      **self.model.identity(),
      "scorer": self.kind,
      "max_length": self.max_length,
      **more,
    }

  def describe(self) -> str:
    """A sentence that says what the scores are."""
    if self.kind == REWARD:
      return "Scores are the score head's, at an answer's last token."
    if self.reference is None:
      shown = "summed" if self.kind == response_scorers.LOGP else "the mean"
      return (
        f"Scores are log-probabilities, {shown} over an answer's tokens, in"
        " nats, compared with no reference."
      )
    return (
      f"Scores are {self.beta:g} (log pi - log pi_ref), summed over an answer's"
      f" tokens, in nats; pi_ref is {self.reference.folder}."
    )


def open_model(
  folder: pathlib.Path,
  *,
  step: int | None = None,
  average: bool = False,
  template: str | None = None,
  dtype: str | None = None,
) -> OpenedModel:
  """Opens a model's folder and reads no weights.

  Args:
    folder: A run's folder or a Hugging Face one, with its tokenizer.
    step: Which checkpoint of a run; None is the newest.
    average: Take a run's moving average of the weights.
    template: Name of a chat template; None is that of the run, or the one of
      ours that spells like the folder's own.
    dtype: See `loaded_model.load`.

  Raises:
    FileNotFoundError: No model there.
    ValueError: No usable tokenizer, or a damaged file.
  """
  with contextlib.closing(
    open_model_lib.open_model(folder, step=step, average=average)
  ) as source:
    tokenizer = loaded_model.open_tokenizer(folder, source.config)
    return OpenedModel(
      folder=folder,
      # Of a run the newest now, and not one that is written meanwhile.
      step=None if isinstance(source, HFFolder) else source.step,
      average=average,
      config=source.config,
      dtype=dtype or loaded_model.default_dtype(source),
      tokenizer=tokenizer,
      template=template or loaded_model.find_template(folder, tokenizer),
      fingerprint=fingerprint.fingerprint(source),
    )
