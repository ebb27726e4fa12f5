# SPDX-License-Identifier: Apache-2.0
"""A quick fingerprint of a model: enough to notice another one, in seconds.

It reads every vector (norms, biases) and one row of each kind of matrix in the
first and in the last layer, so a model of any size costs a few megabytes. Any
full fine-tune, another base or another dtype changes it; a change of single
weights may not. `model_digest` reads everything.
"""

import dataclasses
import hashlib
import json

from ramjax.models.tensors import Source


def fingerprint(source: Source) -> str:
  """SHA-256 (hex) over the shape, every tensor's name, and sampled rows."""
  hashed = hashlib.sha256()
  shape = dataclasses.asdict(source.config)
  for name in ("dtype", "remat", "attention"):  # How it is computed.
    del shape[name]
  hashed.update(json.dumps(shape, sort_keys=True).encode())
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
