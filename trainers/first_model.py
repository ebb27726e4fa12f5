# SPDX-License-Identifier: Apache-2.0
"""The model that the first round samples from, as a folder.

It is the one that `init` names. Where that is none, random weights are written
once, into `start/`, so that every role has a folder, a step and a fingerprint.
"""

import pathlib
import shutil

import jax
import ml_collections
import orbax.checkpoint as ocp
from jax.sharding import Mesh

from ramjax.data.tokenizers import Tokenizer
from ramjax.models import weights
from ramjax.models.config import LlamaConfig
from ramjax.trainers import initial_weights
from ramjax.trainers.starting_model import Start

FOLDER = "start"


def materialise(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  start: Start,
  model_config: LlamaConfig,
  tokenizer: Tokenizer,
  mesh: Mesh,
) -> Start:
  """The first model on disk.

  Args:
    config: `init` and `seed` are read.
    workdir: Of the run in rounds.
    start: What `init` names, from `starting_model.choose`.
    model_config: Its shape.
    tokenizer: Of the run, kept beside random weights.
    mesh: Where random weights are drawn.
  """
  if start.folder is not None:
    return start
  folder = workdir / FOLDER
  if not folder.is_dir():
    temporary = workdir / f"{FOLDER}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    weights.save_config(temporary, model_config)
    shutil.copyfile(
      tokenizer.path, temporary / f"tokenizer{tokenizer.path.suffix}"
    )
    with jax.set_mesh(mesh):
      params, _ = initial_weights.load(config, model_config, mesh, start)
    item = temporary / weights.CHECKPOINT_DIR / "0" / weights.PARAMS_ITEM
    with ocp.StandardCheckpointer() as saver:
      saver.save(item.resolve(), params)
    temporary.replace(folder)
  return Start(folder.resolve(), 0)
