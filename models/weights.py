# SPDX-License-Identifier: Apache-2.0
"""Models on disk: the shape as JSON, the parameters as an Orbax tree.

A run's folder holds `model.json` and, in each checkpoint, an item `params` of
its own, so that evaluation and tools load a model without the trainer.
"""

import dataclasses
import json
import pathlib
from typing import Any

from ramjax.models import model_folder, strict_json
from ramjax.models.config import LlamaConfig, RopeScaling
from ramjax.models.lora_config import LoraConfig, LoraModule

MODEL_FILE = "model.json"
CHECKPOINT_DIR = "checkpoints"
# In the folder of a run with adapters: where their base is.
BASE_FILE = "base.json"
PARAMS_ITEM = "params"
AVERAGE_ITEM = "average"
_MAX_BYTES = 2**22  # Adapters of another rank in every layer take 100 KB.


def save_config(run_dir: pathlib.Path, config: LlamaConfig) -> None:
  """Writes the model's shape beside its checkpoints."""
  text = json.dumps(dataclasses.asdict(config), indent=2)
  (run_dir / MODEL_FILE).write_text(text + "\n")


def load_config(run_dir: pathlib.Path) -> LlamaConfig:
  """Reads what `save_config` wrote.

  Raises:
    FileNotFoundError: `run_dir` is not a run's folder.
    ValueError: The file names a field this version does not know, lacks one,
      or has a value that no model has.
  """
  path = run_dir / MODEL_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{path.resolve()} does not exist: give the --workdir of a training run."
    )
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  fields = strict_json.parse_object(data, what=str(path.resolve()))
  try:
    return _config_of(fields)
  except (ValueError, TypeError, KeyError) as error:
    raise ValueError(f"{path.resolve()}: {error}") from error


def _config_of(fields: dict[str, Any]) -> LlamaConfig:
  if fields.get("rope_scaling") is not None:
    fields["rope_scaling"] = RopeScaling(**fields["rope_scaling"])
  if fields.get("lora") is not None:
    modules = [
      LoraModule(m["name"], tuple(m["ranks"]), tuple(m["alphas"]))
      for m in fields["lora"]["modules"]
    ]
    fields["lora"] = LoraConfig(**{**fields["lora"], "modules": tuple(modules)})
  config = LlamaConfig(**fields)
  for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if field.type in (int, str, bool) and type(value) is not field.type:
      raise TypeError(
        f"{field.name}={value!r} must be of type {field.type.__name__}."
      )
  return config


def checkpoint_steps(run_dir: pathlib.Path) -> list[int]:
  """Steps of the finished checkpoints of a run, ascending."""
  root = run_dir / CHECKPOINT_DIR
  if not root.is_dir():
    return []
  return sorted(
    int(path.name) for path in root.iterdir() if path.name.isdigit()
  )


def find_item(
  run_dir: pathlib.Path, *, step: int | None, average: bool
) -> tuple[int, pathlib.Path]:
  """The step of a checkpoint, and the folder of its parameters.

  Args:
    run_dir: The run's folder.
    step: Which checkpoint; None is the newest.
    average: Whether the moving average of the weights is meant.

  Raises:
    FileNotFoundError: No such checkpoint, or no average in it.
  """
  steps = checkpoint_steps(run_dir)
  chosen = steps[-1] if step is None and steps else step
  if chosen is None or chosen not in steps:
    raise FileNotFoundError(
      f"no checkpoint of step {step} in {run_dir.resolve()}; there are"
      f" {steps or 'none'}."
    )
  item = AVERAGE_ITEM if average else PARAMS_ITEM
  path = run_dir.resolve() / CHECKPOINT_DIR / str(chosen) / item
  if not path.is_dir():
    raise FileNotFoundError(
      f"{path} does not exist: a moving average is kept only where"
      " optim.ema_decay is above 0."
      if average
      else f"{path} does not exist: that folder is no checkpoint of ours."
    )
  return chosen, path
