# SPDX-License-Identifier: Apache-2.0
"""A model's folder, opened: parameters, tokenizer, chat template."""

import argparse
import contextlib
import dataclasses
import math
import pathlib
from typing import Any

import jax
from jax.sharding import Mesh

from ramjax.data import template_recognition, templates
from ramjax.data.tokenizers import Tokenizer
from ramjax.models import carried_files, sharding, source_params
from ramjax.models import fingerprint as fingerprint_lib
from ramjax.models.config import DTYPES, LlamaConfig
from ramjax.models.hf_folder import HFFolder
from ramjax.models.open_model import Model, open_model
from ramjax.models.tensors import Source
from ramjax.tools import chat_files, convert_options, resident_model
from ramjax.trainers.benchmarks import SavedModel


@dataclasses.dataclass(frozen=True)
class LoadedModel:
  """A model that is ready to be run.

  Attributes:
    params: On `mesh`, in `config.dtype`.
    config: Its shape.
    tokenizer: Its tokenizer.
    template: Its chat template, by name; None where it has none of ours.
    fingerprint: Of the folder's model, whatever the dtype; see
      `models.fingerprint`.
    mesh: Set it (`jax.set_mesh`) around sampling.
  """

  params: Any
  config: LlamaConfig
  tokenizer: Tokenizer
  template: str | None
  fingerprint: str
  mesh: Mesh

  @property
  def turn_ends(self) -> tuple[int, ...]:
    """Ids that end an answer: those of the template, or EOS without one."""
    if self.template is None:
      eos = self.tokenizer.eos_id
      return () if eos is None else (eos,)
    return tuple(
      self.tokenizer.special_id(name, template=self.template)
      for name in templates.end_of_turn_tokens(self.template)
    )


def load(
  folder: pathlib.Path,
  *,
  step: int | None = None,
  average: bool = False,
  template: str | None = None,
  dtype: str | None = None,
  num_labels: int = 0,
) -> LoadedModel:
  """Loads a model with what is needed to talk to it.

  Args:
    folder: A run's folder or a Hugging Face one.
    step: Which checkpoint of a run; None is the newest.
    average: Read a run's moving average of the weights.
    template: One of `templates.TEMPLATE_NAMES`; None takes the one a run was
      trained with, or the one of ours that equals the folder's own.
    dtype: Of parameters and computation; None takes a run's, and of a Hugging
      Face folder bfloat16 where its weights are stored so, else float32.
    num_labels: Outputs of its score head; 0 is a language model.

  Raises:
    FileNotFoundError: No model there.
    ValueError: A model of the other kind, no usable tokenizer, or a template
      that does not suit the tokenizer.
  """
  with contextlib.closing(
    open_model(folder, step=step, average=average)
  ) as source:
    _refuse_other_kind(folder, source.config, num_labels)
    tokenizer = open_tokenizer(folder, source.config)
    template = template or find_template(folder, tokenizer)
    params, config, mesh = _weights(
      source, resident_model.find(folder, step=step, average=average), dtype
    )
    loaded = LoadedModel(
      params=params,
      config=config,
      tokenizer=tokenizer,
      template=template,
      fingerprint=fingerprint_lib.fingerprint(source),
      mesh=mesh,
    )
  loaded.turn_ends  # noqa: B018 - raises if the template does not suit.
  return loaded


def _weights(
  source: Model, resident: SavedModel | None, dtype: str | None
) -> tuple[Any, LlamaConfig, Mesh]:
  """Parameters, shape and mesh: those that are in memory, or loaded now."""
  if resident is not None:
    # In the run's dtype: to convert it would double what it takes.
    config = dataclasses.replace(resident.config, remat="none")
    return resident.params, config, resident.mesh
  config = dataclasses.replace(
    source.config, dtype=dtype or default_dtype(source), remat="none"
  )
  mesh = _mesh(config)
  params = source_params.load_params(source, mesh, dtype=config.dtype)
  return params, config, mesh


def add_options(parser: argparse.ArgumentParser) -> None:
  """`--model`, and what else `load` takes."""
  add_weights_options(parser)
  add_template(parser)


def add_weights_options(parser: argparse.ArgumentParser) -> None:
  """The same without a chat template."""
  parser.add_argument(
    "--model",
    metavar="FOLDER",
    type=pathlib.Path,
    required=True,
    help="a run's folder or a Hugging Face one, with its tokenizer",
  )
  add_reading_options(parser)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
  """`--dtype`, and which weights of a run."""
  parser.add_argument(
    "--dtype",
    choices=DTYPES,
    help="to compute in (default: as trained, or as the weights are stored)",
  )
  convert_options.add_checkpoint(parser)


def add_template(parser: argparse.ArgumentParser) -> None:
  """`--template`."""
  parser.add_argument(
    "--template",
    choices=templates.TEMPLATE_NAMES,
    help="chat template (default: what it was trained with, or its own)",
  )


def _refuse_other_kind(
  folder: pathlib.Path, config: LlamaConfig, num_labels: int
) -> None:
  if config.num_labels == num_labels:
    return
  if not num_labels:
    raise ValueError(
      f"{folder} holds a classifier (num_labels={config.num_labels}), such as a"
      " reward model: only a language model writes answers."
    )
  raise ValueError(
    f"{folder} holds a model of num_labels={config.num_labels}, and one of"
    f" num_labels={num_labels} is needed."
  )


def open_tokenizer(folder: pathlib.Path, config: LlamaConfig) -> Tokenizer:
  """The tokenizer that came with a model.

  Raises:
    ValueError: There is none, it is refused, or it is another model's.
  """
  place = carried_files.tokenizer_folder(folder)
  if place is None:
    raise ValueError(
      f"{folder} has no tokenizer (none of"
      f" {', '.join(carried_files.VOCABULARIES)}): put the model's there."
    )
  tokenizer = chat_files.load_tokenizer(place)
  if tokenizer.vocab_size > config.vocab_size:
    raise ValueError(
      f"{tokenizer.path} has {tokenizer.vocab_size} tokens and the model only"
      f" {config.vocab_size}: it is another model's."
    )
  return tokenizer


def find_template(folder: pathlib.Path, tokenizer: Tokenizer) -> str | None:
  """The chat template a run was trained with, or that which a folder spells.

  Returns:
    Its name; None where the folder has none, or none of ours.

  Raises:
    ValueError: A manifest or template that cannot be read.
  """
  if trained := chat_files.trained_template(folder):
    return trained
  place = carried_files.tokenizer_folder(folder)
  text = None if place is None else chat_files.chat_template(place)
  if text is None:
    return None

  def name(id_: int | None) -> str:
    return "" if id_ is None else tokenizer.decode([id_], keep_special=True)

  return template_recognition.recognise(
    text, bos_token=name(tokenizer.bos_id), eos_token=name(tokenizer.eos_id)
  )


def default_dtype(source: Source) -> str:
  """What a model is computed in where nothing else is asked; see `load`."""
  if not isinstance(source, HFFolder):
    return source.config.dtype
  stored = {spec.dtype for spec in source.specs.values()}
  return "bfloat16" if stored == {"bfloat16"} else DTYPES[0]


def _mesh(config: LlamaConfig) -> Mesh:
  """All devices; matrices are split by heads as far as that goes.

  Splitting by heads moves activations between devices, where `fsdp` would
  gather all weights for each token.
  """
  num = jax.device_count()
  tensor = math.gcd(
    num, config.num_kv_heads, config.mlp_width, config.vocab_size
  )
  fsdp = math.gcd(num // tensor, config.width)
  return sharding.make_mesh({"tensor": tensor, "fsdp": fsdp, "data": -1})
