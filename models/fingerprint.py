# SPDX-License-Identifier: Apache-2.0
"""A quick fingerprint of a model: enough to notice another one, in seconds.

It reads every vector (norms, biases) and one row of each kind of matrix in the
first and in the last layer, so a model of any size costs a few megabytes. Any
full fine-tune, another base or another dtype changes it; a change of single
weights may not. `model_digest` reads everything.
"""

import hashlib

import jax
import numpy as np

from ramjax.models.merged_lora import MergedLora
from ramjax.models.tensors import Source

# What makes two models of equal tensors compute different things.
_FIELDS = ("rope_theta", "rope_scaling", "norm_eps", "sliding_window")


def fingerprint(source: Source) -> str:
  """SHA-256 (hex) over what a model is and over sampled rows of its tensors.

  Of adapters and their base, what is stored is read: the merged values depend
  in their last bits on the machine that computes them.
  """
  hashed = hashlib.sha256()
  for name in _FIELDS:
    hashed.update(f"{name}={getattr(source.config, name)!r}\n".encode())
  if isinstance(source, MergedLora):
    hashed.update(fingerprint(source.base).encode())
    leaves = jax.tree_util.tree_leaves_with_path(dict(source.params))
    for path, leaf in leaves:
      hashed.update(f"{jax.tree_util.keystr(path)} {leaf.shape}\n".encode())
      hashed.update(np.ascontiguousarray(leaf).tobytes())
    return hashed.hexdigest()
  last = f"model.layers.{source.config.num_layers - 1}."
  for name, spec in source.specs.items():
    hashed.update(f"{name} {spec.shape} {spec.dtype}\n".encode())
    if len(spec.shape) == 1:
      rows = source.rows(name, 0, spec.shape[0])
    elif not name.startswith("model.layers.") or name.startswith(
      ("model.layers.0.", last)
    ):
      middle = spec.shape[0] // 2
      rows = source.rows(name, middle, middle + 1)
    else:
      continue
    hashed.update(rows.tobytes())
  return hashed.hexdigest()
