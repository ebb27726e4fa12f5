# SPDX-License-Identifier: Apache-2.0
"""What makes an algorithm, and what its parts are given: the contract of a run."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import grain
import ml_collections
from jax.sharding import Mesh

from ramjax.data.tokenizers import Tokenizer
from ramjax.models.config import LlamaConfig
from ramjax.trainers import loop
from ramjax.trainers import step as step_lib
from ramjax.trainers.state import TrainState


class RunData(Protocol):
  """What the wiring itself needs to know of an algorithm's data."""

  @property
  def tokenizer(self) -> Tokenizer:
    """The run's tokenizer."""
    ...

  @property
  def summary(self) -> Mapping[str, Mapping[str, Any]]:
    """Per source, what goes into the manifest and is said at the start."""
    ...


class Evaluator(Protocol):
  """Evaluation during training."""

  def evaluate(
    self, state: TrainState, step: int
  ) -> tuple[Mapping[str, float], list[dict[str, Any]]]:
    """Metrics named `eval/...`, and samples for `samples.jsonl`."""
    ...


@dataclasses.dataclass(frozen=True)
class Setting:
  """What the parts of a run are built from.

  Attributes:
    config: Of the run.
    workdir: Its folder.
    model_config: Of the policy.
    reference_config: Of the reference; None where nothing compares with one.
    data: From `load_data`.
    mesh: Of the updates.
  """

  config: ml_collections.ConfigDict
  workdir: pathlib.Path
  model_config: LlamaConfig
  reference_config: LlamaConfig | None
  data: Any
  mesh: Mesh


class SampledBatches(Protocol):
  """Batches that the policy makes; `online_batches.OnlineBatches` is one."""

  def next_batch(
    self,
    state: TrainState,
    settle: Callable[[], None],
    check: Callable[[], None],
  ) -> tuple[Any, Mapping[str, float]]:
    """A host batch, and metrics of what was sampled for it; see `loop.train`."""
    ...

  def close(self) -> None:
    """Ends it."""
    ...


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """What makes an algorithm: its data, its batches, its loss.

  Attributes:
    load_data: `(config, workdir, vocab_size=)` to the data of the run.
    train_batches: `(config, data)` to endless batches, the same on every process.
    count_batch: Tokens of a host batch, for speed.
    make_objective: `(model_config, reference_config=, ...)` to what a step
      minimises. `reference_config` is None where the config has no reference;
      the rest are the fields of `config.loss`, by name.
    make_evaluator: `(config, model_config, data, mesh, objective)` to the
      evaluation.
    describe_source: One source's summary as a line of the log.
    sample_batches: Of an algorithm whose policy makes its own batches, in place
      of `train_batches`: `(Setting)` to `SampledBatches`.
    add_params: `(config, model_config, trained, frozen, mesh)` to the trained
      parameters with those of a model of the algorithm's own; None adds none.
    describe_roles: `(config, workdir)` to the other models that take part, by
      role, for the manifest.
    check_first_step: `(metrics, blank)` to what is wrong with the metrics of the
      first step, a sentence each. `blank` says that the run starts where nothing
      is learned: the policy is the reference, or the score head is new.
  """

  load_data: Callable[..., Any]
  train_batches: Callable[
    [ml_collections.ConfigDict, Any], grain.DatasetIterator
  ]
  count_batch: Callable[[Any], loop.BatchCounts]
  make_objective: Callable[..., step_lib.Objective]
  make_evaluator: Callable[
    [ml_collections.ConfigDict, LlamaConfig, Any, Mesh, step_lib.Objective],
    Evaluator,
  ]
  describe_source: Callable[[Mapping[str, Any]], str]
  check_first_step: Callable[[Mapping[str, float], bool], list[str]]
  sample_batches: Callable[[Setting], SampledBatches] | None = None
  add_params: Callable[..., Any] | None = None
  describe_roles: Callable[..., Mapping[str, Any]] = lambda *_: {}
