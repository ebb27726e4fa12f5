# SPDX-License-Identifier: Apache-2.0
"""The adapters of one checkpoint of a run, and where their base is."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from ramjax.models import (
  json_fields,
  lora,
  model_folder,
  partition,
  strict_json,
  weights,
  zarr_arrays,
)
from ramjax.models.checked_reads import CheckedReads
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorError

Params = dict[str, Any]

_MAX_BYTES = 2**20


class Adapters(NamedTuple):
  """What a run with adapters has trained.

  Attributes:
    config: Of the adapted model, with `lora`.
    step: Of the checkpoint.
    params: The trained leaves as NumPy arrays: adapters, and a score head.
    base: Folder of the model they adapt.
    fingerprint: Of that model when training began.
    base_step: Which checkpoint of it, if it is a run's.
    base_average: Whether its moving average is meant.
  """

  config: LlamaConfig
  step: int
  params: Params
  base: pathlib.Path
  fingerprint: str
  base_step: int | None = None
  base_average: bool = False


def save(folder: pathlib.Path, adapters: Adapters) -> None:
  """Writes adapters as a run: the inverse of `load`.

  Args:
    folder: An existing, empty folder.
    adapters: What to write; all of it.
  """
  import orbax.checkpoint as ocp

  weights.save_config(folder, adapters.config)
  record = {
    "folder": str(adapters.base.resolve()),
    "fingerprint": adapters.fingerprint,
    "step": adapters.base_step,
    "average": adapters.base_average,
  }
  text = json.dumps(record, indent=2)
  (folder / weights.BASE_FILE).write_text(text + "\n")
  checkpoint = folder / weights.CHECKPOINT_DIR / str(adapters.step)
  checkpoint.mkdir(parents=True)
  with ocp.StandardCheckpointer() as checkpointer:
    item = checkpoint.resolve() / weights.PARAMS_ITEM
    checkpointer.save(item, adapters.params)


def load(
  run_dir: pathlib.Path, *, step: int | None = None, average: bool = False
) -> Adapters:
  """Reads the adapters of a run.

  Args:
    run_dir: A run's folder whose `model.json` has adapters.
    step: Which checkpoint; None is the newest.
    average: Read the moving average instead.

  Raises:
    FileNotFoundError: No such checkpoint, or no record of the base.
    ValueError: That record is not one, or, as a TensorError, an array is
      missing or has another shape.
  """
  config = weights.load_config(run_dir)
  chosen, item = weights.find_item(run_dir, step=step, average=average)
  path = run_dir / weights.BASE_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} does not exist: it says where the base of the adapters is."
    )
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  base = strict_json.parse_object(data, what=str(path))
  for name in ("folder", "fingerprint"):
    if not isinstance(base.get(name), str):
      raise ValueError(
        f"{path}: {name}={json_fields.shown(base.get(name))} must be a string:"
        " the file says where the base of the adapters is, and its fingerprint."
      )
  step_of_base = base.get("step")
  if step_of_base is not None and type(step_of_base) is not int:
    raise ValueError(
      f"{path}: step={json_fields.shown(step_of_base)} must be a whole number,"
      " the base's checkpoint, or null."
    )
  params: Params = {}
  checked = CheckedReads(item)
  for leaf, shape in partition.trained_shapes(config).items():
    array = zarr_arrays.read_array(item, leaf)
    if array.shape != shape:
      raise TensorError(
        f"{item}: parameter {'/'.join(leaf)} has shape {list(array.shape)},"
        f" and {weights.MODEL_FILE} makes it {list(shape)}."
      )
    checked.saw(leaf, array, layer=None, start=0, axis=0)
    lora.put_at(params, leaf, array.astype(np.float32))
  return Adapters(
    config=config,
    step=chosen,
    params=params,
    base=pathlib.Path(base["folder"]),
    fingerprint=base["fingerprint"],
    base_step=step_of_base,
    base_average=base.get("average") is True,
  )
