# SPDX-License-Identifier: Apache-2.0
"""TRL's side of the benchmarks of training: one case in one process.

A trainer as TRL's users get it: every field of its config that neither
`_overrides` nor the `Side` lists keeps its default. Importing this module
imports none of TRL, so that `require` can tell whether it is there.
"""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import dataclasses
import importlib.util
import json
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ramjax.tools import bench_machine, bench_trl_inputs
from ramjax.tools.bench_cases import Report

_PACKAGES = ("torch", "transformers", "trl")

# Defaults that decide what is being compared; reported with every run.
_TELLING = (
  "per_device_train_batch_size",
  "max_length",
  "gradient_checkpointing",
  "padding_free",
  "loss_type",
  "optim",
  "max_grad_norm",
  "train_sampling_strategy",
)


@dataclasses.dataclass(frozen=True)
class Side:
  """What one algorithm's benchmark brings.

  Attributes:
    trainer: Imports and returns the trainer's class.
    config: Name of its config's class in `trl`.
    telling: Defaults to report, beside those that all trainers have.
    overrides: From the spec to fields that do not keep their default.
    arguments: From the spec to keyword arguments of the trainer: model, rows.
    supervised: From the inputs of a step to which of its tokens are supervised,
      [B, T].
    prepared: From the trainer's prepared rows to `examples`, `tokens` and
      `supervised_tokens`.
  """

  trainer: Callable[[], Any]
  config: str
  telling: Sequence[str]
  overrides: Callable[[Mapping[str, Any]], dict[str, Any]]
  arguments: Callable[[Mapping[str, Any]], dict[str, Any]]
  supervised: Callable[[Mapping[str, Any]], Any]
  prepared: Callable[[Any], dict[str, int]]


def require() -> None:
  """Checks that TRL is there, without importing it.

  Raises:
    ValueError: A package is missing; says how to install it.
  """
  missing = [
    name for name in _PACKAGES if importlib.util.find_spec(name) is None
  ]
  if missing:
    raise ValueError(
      f"--against=trl needs {', '.join(missing)}, which this Python does not"
      " have: pip install 'ramjax[peers]'"
    )


def run_child(argv: Sequence[str], side: Side) -> int:
  """Child process: measures the case in SPEC, into OUT.

  Args:
    argv: The two paths.
    side: Of the algorithm.

  Returns:
    The exit status.

  Raises:
    ValueError: JAX has a GPU that torch cannot use.
  """
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  # Everything is local: nothing may be looked up or sent.
  os.environ["HF_HOME"] = spec["folder"]
  os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
  os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
  import torch
  from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

  # Packages load their modules when a name is first asked for.
  del LlamaForCausalLM, PreTrainedTokenizerFast
  trainer_class = side.trainer()
  import_bytes = bench_machine.peak_memory_bytes()
  if spec["device"] == "gpu" and not torch.cuda.is_available():
    raise ValueError(
      "JAX has a GPU and torch has none: install a torch build with CUDA, or"
      " set JAX_PLATFORMS=cpu."
    )
  report = _measure(spec, side, trainer_class)
  report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


def _measure(spec: Mapping[str, Any], side: Side, trainer_class: Any) -> Report:
  """Trains; a callback reads the time of each step."""
  import torch
  import trl

  config_class = getattr(trl, side.config)
  overrides = {**_overrides(spec), **side.overrides(spec)}
  # The step that reaches `seconds` stops the training.
  trainer, clock = _make_trainer(
    spec, side, trainer_class, config_class(**overrides)
  )
  trainer.train()
  warmup = spec["warmup"]
  defaults = {
    field.name: field.default for field in dataclasses.fields(config_class)
  }
  return dict(
    step_s=clock.step_s[warmup:],
    counts=count_batches(
      [
        (inputs["attention_mask"], side.supervised(inputs))
        for inputs in trainer.seen[warmup:]
      ]
    ),
    losses=[float(loss) for loss in trainer.losses[: spec["losses"]]],
    compile_s=None,
    peak_bytes=bench_machine.peak_memory_bytes(),
    device_peak_bytes=(
      torch.cuda.max_memory_allocated() if spec["device"] == "gpu" else 0
    ),
    threads=torch.get_num_threads(),
    versions=bench_machine.versions(
      ("torch", "transformers", "trl", "accelerate", "datasets")
    ),
    data=side.prepared(trainer.train_dataset),
    overridden={
      name: [_plain(defaults[name]), _plain(value)]
      for name, value in overrides.items()
      if defaults[name] != value and name != "output_dir"
    },
    settings={
      name: _plain(getattr(trainer.args, name))
      for name in (*_TELLING, *side.telling)
    },
  )


def _overrides(spec: Mapping[str, Any]) -> dict[str, Any]:
  """Fields of every config that do not keep their default, and why."""
  optim = spec["config"]["optim"]
  fields: dict[str, Any] = dict(
    output_dir=str(pathlib.Path(spec["folder"]) / "trl"),
    # As long as the measurement, and quiet.
    max_steps=spec["warmup"] + spec["steps"],
    save_strategy="no",
    report_to="none",
    disable_tqdm=True,
    # The same update as ours.
    seed=spec["config"]["seed"],
    learning_rate=optim["learning_rate"],
    lr_scheduler_type="constant",
    adam_beta1=optim["b1"],
    adam_beta2=optim["b2"],
    adam_epsilon=optim["eps"],
    weight_decay=optim["weight_decay"],
    max_grad_norm=optim["clip_norm"],
  )
  if spec["device"] == "cpu":
    fields |= dict(use_cpu=True, bf16=False)
  if spec["batch"] == "raw":
    fields |= dict(
      gradient_checkpointing=spec["checkpointing"],
      train_sampling_strategy="sequential",
      per_device_train_batch_size=spec["raw_batch"][0],
      pad_to_multiple_of=spec["multiple"],
    )
  return fields


def _plain(value: Any) -> Any:
  """A field's value for JSON: enums by their value, no default as None."""
  value = getattr(value, "value", value)
  return None if value is dataclasses.MISSING else value


def _make_trainer(
  spec: Mapping[str, Any], side: Side, trainer_class: Any, args: Any
) -> tuple[Any, Any]:
  """A trainer that keeps batches and losses, and the clock it carries."""
  import torch
  from transformers import TrainerCallback

  raw = spec["batch"] == "raw"

  def now() -> float:
    if spec["device"] == "gpu":
      torch.cuda.synchronize()
    return time.perf_counter()

  class Clock(TrainerCallback):
    """Times steps: raw ones alone, others with batch, log and all."""

    def __init__(self):
      self.step_s: list[float] = []
      self.last = now()

    def on_train_begin(self, args, state, control, **kwargs):
      self.last = now()

    def on_step_begin(self, args, state, control, **kwargs):
      if raw:
        self.last = now()

    def on_step_end(self, args, state, control, **kwargs):
      end = now()
      self.step_s.append(end - self.last)
      self.last = end
      if sum(self.step_s[spec["warmup"] :]) > spec["seconds"]:
        control.should_training_stop = True

  class Trainer(trainer_class):
    """Keeps what a step was given and its loss; computes nothing itself."""

    def __init__(self, *positional, **named):
      super().__init__(*positional, **named)
      self.seen: list[Any] = []
      self.losses: list[Any] = []

    def training_step(self, model, inputs, *rest, **named):
      self.seen.append(dict(inputs))
      loss = super().training_step(model, inputs, *rest, **named)
      self.losses.append(loss.detach())
      return loss

  clock = Clock()
  trainer = Trainer(
    args=args,
    processing_class=bench_trl_inputs.make_tokenizer(),
    callbacks=[clock],
    **side.arguments(spec),
  )
  return trainer, clock


def count_batches(seen: Sequence[tuple[Any, Any]]) -> dict[str, int]:
  """Sums over some batches, as `bench_cases.COUNTS` names them.

  Args:
    seen: Attention mask, and which tokens are supervised, of each: [B, T]
      tensors or arrays. A row's first token is predicted from nothing.
  """
  counts = dict(places=0, padding=0, tokens=0, supervised=0, pairs=0)
  for attention_mask, supervised in seen:
    lengths = np.asarray(attention_mask.sum(1), np.int64)
    tokens, places = int(lengths.sum()), int(np.prod(supervised.shape))
    counts["places"] += places
    counts["padding"] += places - tokens
    counts["tokens"] += tokens
    counts["supervised"] += int(supervised[:, 1:].sum())
    counts["pairs"] += int((lengths * (lengths + 1) // 2).sum())
  return counts
