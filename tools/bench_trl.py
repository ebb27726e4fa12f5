# SPDX-License-Identifier: Apache-2.0
"""TRL's side of `ramjax bench sft`, one case in one process.

TRL's `SFTTrainer` as its users get it: every field of `SFTConfig` that is not
listed in `_overrides` keeps its default. Importing this module imports none of
TRL, so that `require` can tell whether it is there.
"""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import dataclasses
import importlib.util
import json
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
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
  "packing",
  "padding_free",
  "loss_type",
  "optim",
  "max_grad_norm",
  "train_sampling_strategy",
)


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


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  spec_path, out_path = map(pathlib.Path, argv)
  spec = json.loads(spec_path.read_text())
  # Everything is local: nothing may be looked up or sent.
  os.environ["HF_HOME"] = spec["folder"]
  os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
  os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
  import torch
  from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
  from trl import SFTTrainer

  # Packages load their modules when a name is first asked for.
  del LlamaForCausalLM, PreTrainedTokenizerFast, SFTTrainer
  import_bytes = bench_machine.peak_memory_bytes()
  if spec["device"] == "gpu" and not torch.cuda.is_available():
    raise ValueError(
      "JAX has a GPU and torch has none: install a torch build with CUDA, or"
      " set JAX_PLATFORMS=cpu."
    )
  report = _measure(spec)
  report["import_bytes"] = import_bytes
  out_path.write_text(json.dumps(report))
  return 0


def _measure(spec: Mapping[str, Any]) -> Report:
  """Trains with an `SFTTrainer`; a callback reads the time of each step."""
  import torch
  from trl import SFTConfig

  overrides = _overrides(spec)
  # The step that reaches `seconds` stops the training.
  trainer, clock = _make_trainer(spec, SFTConfig(**overrides))
  trainer.train()
  warmup = spec["warmup"]
  prepared = trainer.train_dataset
  defaults = {
    field.name: field.default for field in dataclasses.fields(SFTConfig)
  }
  return dict(
    step_s=clock.step_s[warmup:],
    counts=count_batches(trainer.seen[warmup:]),
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
    data=dict(
      examples=len(prepared),
      tokens=sum(map(len, prepared["input_ids"])),
      supervised_tokens=sum(
        label != -100 for labels in prepared["labels"] for label in labels
      ),
    ),
    overridden={
      name: [_plain(defaults[name]), _plain(value)]
      for name, value in overrides.items()
      if defaults[name] != value and name != "output_dir"
    },
    settings={name: _plain(getattr(trainer.args, name)) for name in _TELLING},
  )


def _overrides(spec: Mapping[str, Any]) -> dict[str, Any]:
  """Fields of `SFTConfig` that do not keep their default, and why."""
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
    # What TRL infers for rows of prompt and completion; tokenised rows do not
    # tell.
    completion_only_loss=True,
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


def _make_trainer(spec: Mapping[str, Any], args: Any) -> tuple[Any, Any]:
  """An `SFTTrainer` that keeps batches and losses, and the clock it carries."""
  import torch
  from transformers import TrainerCallback
  from trl import SFTTrainer

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

  class Trainer(SFTTrainer):
    """Keeps what a step was given and its loss; computes nothing itself."""

    def __init__(self, *positional, **named):
      super().__init__(*positional, **named)
      self.seen: list[Any] = []
      self.losses: list[Any] = []

    def training_step(self, model, inputs, *rest, **named):
      self.seen.append((inputs["attention_mask"], inputs["labels"]))
      loss = super().training_step(model, inputs, *rest, **named)
      self.losses.append(loss.detach())
      return loss

  clock = Clock()
  trainer = Trainer(
    model=bench_trl_inputs.make_model(spec),
    args=args,
    train_dataset=bench_trl_inputs.make_dataset(spec),
    processing_class=bench_trl_inputs.make_tokenizer(),
    callbacks=[clock],
  )
  return trainer, clock


def count_batches(seen: Sequence[tuple[Any, Any]]) -> dict[str, int]:
  """Sums over some batches, as `bench_cases.COUNTS` names them.

  Args:
    seen: Attention mask and labels of each, [B, T] tensors or arrays.
  """
  counts = dict(places=0, tokens=0, supervised=0, pairs=0)
  for attention_mask, labels in seen:
    lengths = np.asarray(attention_mask.sum(1), np.int64)
    counts["places"] += int(np.prod(labels.shape))
    counts["tokens"] += int(lengths.sum())
    counts["supervised"] += int((labels[:, 1:] != -100).sum())
    counts["pairs"] += int((lengths * (lengths + 1) // 2).sum())
  return counts


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
