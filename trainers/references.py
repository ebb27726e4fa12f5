# SPDX-License-Identifier: Apache-2.0
"""The reference model of a run: which it is, and its parameters.

It is the run's own start unless the config names another. Beside adapters that
costs nothing: the start is the frozen base without them.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
from jax.sharding import Mesh

from ramjax.models import source_params
from ramjax.models.config import COMPUTE_FIELDS, LlamaConfig
from ramjax.trainers import starting_model
from ramjax.trainers.starting_model import Start
from ramjax.trainers.state import TrainState
from ramjax.trainers.step import ReferenceSync


@dataclasses.dataclass(frozen=True)
class Reference:
  """Which model the policy is compared with.

  Attributes:
    start: Another model than the run's start; None where it is the start.
    config: Its shape.
    sync: How it follows the policy; None where it stays.
  """

  start: Start | None
  config: LlamaConfig
  sync: ReferenceSync | None

  @property
  def is_start(self) -> bool:
    """Whether policy and reference are equal before the first update."""
    return self.start is None


def choose(
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  workdir: pathlib.Path | None = None,
) -> Reference | None:
  """What `config.reference` names; None where the config has no such group.

  Args:
    config: Of the run.
    model_config: Of the policy.
    workdir: Of the run; see `starting_model.choose`.

  Raises:
    ValueError: Fields that contradict each other, or a model of another
      vocabulary.
    FileNotFoundError: There is no such folder or checkpoint.
  """
  if "reference" not in config:
    return None
  fields = config.reference
  sync = None
  if fields.sync_every:
    sync = ReferenceSync(every=fields.sync_every, rate=fields.sync_rate)
  start = starting_model.choose_from(
    fields, "reference", workdir, recorded_as="reference"
  )
  if start.folder is None:
    if sync is not None and fields.cache:
      raise ValueError(
        f"reference.sync_every={fields.sync_every} moves the reference, and"
        f" reference.cache={fields.cache!r} keeps its log-probabilities: use"
        " one."
      )
    return Reference(None, _base_of(model_config, sync), sync)
  if sync is not None:
    raise ValueError(
      f"reference.sync_every={fields.sync_every} moves the run's own start; a"
      f" reference in {start.folder} stays where it is. Use one."
    )
  source = start.open()
  shape = source.config
  source.close()
  if shape.vocab_size != model_config.vocab_size or shape.num_labels:
    raise ValueError(
      f"the reference in {start.folder} has vocab_size={shape.vocab_size} and"
      f" num_labels={shape.num_labels}, the policy"
      f" vocab_size={model_config.vocab_size}: a reference is a language model"
      " with the policy's tokenizer."
    )
  compute = {name: getattr(model_config, name) for name in COMPUTE_FIELDS}
  return Reference(start, dataclasses.replace(shape, **compute), None)


def refuse_unused(config: ml_collections.ConfigDict) -> None:
  """Raises if the config names a reference and no loss compares with one.

  Raises:
    ValueError: Names the field.
  """
  if "reference" not in config:
    return
  for name in ("from_hf", "from_run", "cache", "sync_every"):
    if value := config.reference[name]:
      raise ValueError(
        f"reference.{name}={value!r}, and nothing in config.loss compares with a"
        " reference: leave it out."
      )


def load(
  reference: Reference, trained: Any, frozen: Any, mesh: Mesh
) -> dict[str, Any]:
  """The parameters of a reference that needs any of its own, on the mesh.

  Args:
    reference: From `choose`.
    trained: Of the run's start.
    frozen: The same.
    mesh: Where they go.

  Returns:
    Parameters; {} where the reference is the frozen base, or moves and is kept
    with the run's state.
  """
  if reference.start is not None:
    return _load_other(reference, mesh)
  if reference.sync is not None or frozen:
    return {}
  dtype = reference.config.dtype
  # The step donates the policy's buffers; what stays must be a copy.
  copy = jax.jit(lambda tree: jax.tree.map(lambda x: x.astype(dtype) + 0, tree))
  return copy(trained)


def params_of(
  reference: Reference, first_state: Callable[[], TrainState], mesh: Mesh
) -> dict[str, Any]:
  """The parameters of a reference, for use before the first step only.

  Where it is the run's start, they are the policy's own, which a step changes.

  Args:
    reference: From `choose`.
    first_state: To the run's state before its first step, without a reference
      of its own; called where the reference is the run's start.
    mesh: Where they go.
  """
  if reference.start is not None:
    return _load_other(reference, mesh)
  state = first_state()
  return state.all_reference or state.all_params


def _load_other(reference: Reference, mesh: Mesh) -> dict[str, Any]:
  assert reference.start is not None
  with reference.start.reading() as source:
    return source_params.load_params(source, mesh, dtype=reference.config.dtype)


def _base_of(config: LlamaConfig, sync: ReferenceSync | None) -> LlamaConfig:
  """The shape of the run's start; one that moves has adapters of its own."""
  return config if sync is not None else dataclasses.replace(config, lora=None)


def describe(reference: Reference) -> dict[str, Any]:
  """For the manifest: which model it is, and how it moves."""
  described: dict[str, Any] = {"is_start": reference.is_start}
  if reference.start is not None:
    described |= starting_model.describe(reference.start)
  if reference.sync is not None:
    described["sync"] = dataclasses.asdict(reference.sync)
  return described
