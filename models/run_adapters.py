# SPDX-License-Identifier: Apache-2.0
"""The adapters of one checkpoint of a run, and where their base is."""

import pathlib
from typing import Any, NamedTuple

import numpy as np

from ramjax.models import lora, partition, run_folder, strict_json, weights
from ramjax.models.config import LlamaConfig
from ramjax.models.tensors import TensorError

Params = dict[str, Any]


class Adapters(NamedTuple):
  """What a run with adapters has trained.

  Attributes:
    config: Of the adapted model, with `lora`.
    step: Of the checkpoint.
    params: The trained leaves as NumPy arrays: adapters, and a score head.
    base: Folder of the model they adapt.
    fingerprint: Of that model when training began.
  """

  config: LlamaConfig
  step: int
  params: Params
  base: pathlib.Path
  fingerprint: str


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
    TensorError: An array is missing or has another shape.
  """
  config = weights.load_config(run_dir)
  chosen, item = weights.find_item(run_dir, step=step, average=average)
  path = run_dir / weights.BASE_FILE
  if not path.is_file():
    raise FileNotFoundError(
      f"{path} does not exist: it says where the base of the adapters is."
    )
  base = strict_json.parse_object(path.read_bytes(), what=str(path))
  params: Params = {}
  for leaf, shape in partition.trained_shapes(config).items():
    array = run_folder.read_array(item, leaf)
    if array.shape != shape:
      raise TensorError(
        f"{item}: parameter {'/'.join(leaf)} has shape {list(array.shape)},"
        f" and {weights.MODEL_FILE} makes it {list(shape)}."
      )
    lora.put_at(params, leaf, array.astype(np.float32))
  return Adapters(
    config=config,
    step=chosen,
    params=params,
    base=pathlib.Path(base["folder"]),
    fingerprint=base["fingerprint"],
  )
