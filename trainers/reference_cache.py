# SPDX-License-Identifier: Apache-2.0
"""A reference's log-probabilities of every row, computed once and kept on disk.

A step then runs the policy alone, and the reference takes no memory. What they
were computed from is kept with them, and anything else is refused: numbers of
another model or other rows would train without an error, towards nothing.
"""

import dataclasses
import hashlib
import importlib.resources
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
import tqdm
from jax.sharding import NamedSharding, PartitionSpec

from ramjax.data import group_batches, templates
from ramjax.data.tokenize_groups import Group
from ramjax.evals.response_likelihood import response_likelihood
from ramjax.models import model_digest, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import processes
from ramjax.trainers.group_data import GroupData
from ramjax.trainers.response_objective import REF_LOGPS
from ramjax.trainers.starting_model import Start

LOGPS_FILE = "reference_logps.npy"
KEY_FILE = "reference_logps.json"
# What a kill while writing leaves.
_PARTIAL_FILES = ("partial.npy", "partial.json")

# What decides a log-probability, beside the weights and the tokens.
_CODE = (
  *("models/config.py", "models/frozen_base.py", "models/attention.py"),
  *("models/attention_cudnn.py", "models/attention_shards.py"),
  *("models/attention_splash.py", "models/attention_xla.py"),
  *("models/heads.py", "models/layers.py"),
  *("models/linear.py", "models/llama.py", "models/lora.py", "models/nf4.py"),
  *("models/positions.py", "losses/supervised_chunks.py"),
  *("losses/vocabulary_blocks.py", "evals/sharded_head.py"),
  *("losses/token_logps.py", "data/group_batches.py", "evals/likelihood.py"),
  "evals/response_likelihood.py",
)


def use(
  config: ml_collections.ConfigDict,
  data: GroupData,
  load_params: Callable[[], Any],
  model_config: LlamaConfig,
  start: Start,
  mesh: jax.sharding.Mesh,
  *,
  beat: Callable[[], None],
) -> GroupData:
  """The data with the reference's log-probabilities in every group.

  They are read from `config.reference.cache`, or computed and written there.

  Args:
    config: Of the run.
    data: Of the run.
    load_params: Puts the reference on the mesh; called if they are computed.
    model_config: Of the reference.
    start: Where the reference came from.
    mesh: Where batches go.
    beat: Called after each thing that takes long, such as a batch: a sign of life.

  Returns:
    `data`, with `ref_logps` among the features of each group.

  Raises:
    ValueError: The folder holds log-probabilities of something else; names
      what differs. Or not every process finds it.
  """
  folder = pathlib.Path(config.reference.cache).expanduser()
  groups = [*[g for source in data.train for g in source], *data.held_out]
  # It reads the whole model, which all processes need not do.
  key = processes.first_tells(
    lambda: _key(config, data, groups, model_config, start)
  )
  beat()
  if processes.first_tells((folder / KEY_FILE).exists):
    num_answers = max(group.size for group in groups)
    logps = processes.together(
      lambda: _read(folder, key, (len(groups), num_answers))
    )
  else:
    processes.first_tells(lambda: _refuse_foreign(folder))
    params = load_params()
    beat()
    logps = _compute(config, data, groups, params, model_config, mesh, beat)
    if not np.isfinite(logps).all():
      raise ValueError(
        "the reference gives an answer a log-probability that is not finite:"
        " its weights are damaged, or too large for model.dtype"
        f"={model_config.dtype!r}."
      )
    processes.first_tells(lambda: _write(folder, key, logps))
  found = iter(logps)

  def of(groups: Sequence[Group]) -> list[Group]:
    return [
      group._replace(features={**group.features, REF_LOGPS: next(found)})
      for group in groups
    ]

  return dataclasses.replace(
    data,
    train=[of(source) for source in data.train],
    held_out=of(data.held_out),
  )


def _compute(
  config: ml_collections.ConfigDict,
  data: GroupData,
  groups: Sequence[Group],
  params: Any,
  model_config: LlamaConfig,
  mesh: jax.sharding.Mesh,
  beat: Callable[[], None],
) -> np.ndarray:
  """[num_groups, K] float32, in the order of `groups`."""
  batches = group_batches.eval_batches(
    groups,
    row_length=data.row_length,
    share_prompt=config.data.share_prompt,
    batch_size=config.data.batch_size // config.data.num_microbatches,
    pack=True,
  )

  @jax.jit
  def logps_of(params: Any, batch: Any) -> jax.Array:
    logps = response_likelihood(
      params, model_config, batch, chunk_size=config.loss.chunk_size
    ).logps
    # On every device, so that each process can read all of it.
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.lax.with_sharding_constraint(logps, everywhere)

  num_answers = batches[0].features["present"].shape[2]
  found = np.zeros((len(groups), num_answers), np.float32)
  for batch in tqdm.tqdm(
    batches,
    desc="reference log-probabilities",
    unit="batch",
    disable=None if processes.is_first() else True,
  ):
    logps = jax.device_get(logps_of(params, sharding.place_batch(batch, mesh)))
    real = batch.features["present"][:, :, 0] > 0
    rows = batch.features["row_ids"][:, :, 0][real].astype(np.int64)
    found[rows] = logps[real]
    beat()
  return found


def _key(
  config: ml_collections.ConfigDict,
  data: GroupData,
  groups: Sequence[Group],
  model_config: LlamaConfig,
  start: Start,
) -> dict[str, str]:
  """Digests of everything that the numbers depend on, by what it is."""
  if start.folder is None:
    weights = f"random, seed {config.seed}"
  else:
    source = start.open()
    try:
      weights = model_digest.digest(source).total
    finally:
      source.close()
  root = importlib.resources.files("ramjax.models").joinpath("..")
  code = hashlib.sha256()
  for name in _CODE:
    code.update(root.joinpath(name).read_bytes())
  return {
    "reference": weights,
    "shape": hashlib.sha256(repr(model_config).encode()).hexdigest(),
    "tokenizer": data.tokenizer.digest,
    "template": templates.template_digest(config.data.template),
    "data": _data_digest(groups),
    "code": code.hexdigest(),
  }


def _data_digest(groups: Sequence[Group]) -> str:
  digest = hashlib.sha256()
  for group in groups:
    for tokens in (*group.prompts, *group.responses, *group.response_masks):
      digest.update(len(tokens).to_bytes(8, "little"))
      digest.update(tokens.tobytes())
  return digest.hexdigest()


def _refuse_stale(folder: pathlib.Path, key: Mapping[str, str]) -> None:
  path = folder / KEY_FILE
  try:
    stored = json.loads(path.read_text())
  except ValueError:
    stored = {}
  if not isinstance(stored, dict):
    stored = {}
  wrong = [name for name, value in key.items() if stored.get(name) != value]
  if wrong:
    raise ValueError(
      f"reference.cache={str(folder)!r} holds log-probabilities of another"
      f" {', '.join(wrong)}. Name another folder, or delete {LOGPS_FILE} and"
      f" {KEY_FILE} there to compute them anew."
    )


def _read(
  folder: pathlib.Path, key: Mapping[str, str], shape: tuple[int, int]
) -> np.ndarray:
  """The log-probabilities of a folder; refuses what cannot be them."""
  _refuse_stale(folder, key)
  path = folder / LOGPS_FILE
  try:
    with path.open("rb") as file:
      logps = np.lib.format.read_array(file, allow_pickle=False)
  except (ValueError, EOFError, OSError) as error:
    raise ValueError(
      f"{path} cannot be read ({error}): delete the folder."
    ) from error
  is_right = (logps.shape, logps.dtype) == (shape, np.float32)
  if not is_right or not np.isfinite(logps).all():
    raise ValueError(
      f"{path} is damaged: it does not hold {shape[0]} x {shape[1]} finite"
      " float32 numbers. Delete the folder."
    )
  return logps


def _refuse_foreign(folder: pathlib.Path) -> None:
  """A folder that holds other things is not ours to write to."""
  own = {LOGPS_FILE, *_PARTIAL_FILES}
  if folder.is_dir() and any(e.name not in own for e in folder.iterdir()):
    raise ValueError(
      f"reference.cache={str(folder)!r} holds other files and no {KEY_FILE}:"
      " name a folder of its own, which need not exist."
    )


def _write(
  folder: pathlib.Path, key: Mapping[str, str], logps: np.ndarray
) -> None:
  """The key last: a folder without it is computed anew."""
  folder.mkdir(parents=True, exist_ok=True)
  temporary = folder / _PARTIAL_FILES[0]
  np.save(temporary, logps, allow_pickle=False)
  temporary.replace(folder / LOGPS_FILE)
  temporary = folder / _PARTIAL_FILES[1]
  temporary.write_text(json.dumps(key, indent=2) + "\n")
  temporary.replace(folder / KEY_FILE)
