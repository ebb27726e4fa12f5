# SPDX-License-Identifier: Apache-2.0
"""The `params.json` of Meta's original checkpoints, to a `LlamaConfig`.

The file leaves out what Meta's code knew by heart: the width of the MLP (it
follows from a formula), the factor of the RoPE scaling (8 in Llama 3.1 and
3.3, 32 in 3.2), the length of the context, and whether the head is tied. Those
come from the release, which its shape tells.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from ramjax.models import json_fields, model_folder, strict_json
from ramjax.models.config import LlamaConfig
from ramjax.models.presets import PRESETS

FILE_NAME = "params.json"
_MAX_BYTES = 2**20
# As of a config.json: a hostile file cannot make us count to a billion.
_MAX_SIZE, _MAX_LAYERS = 2**22, 2**12

RELEASES: Mapping[str, LlamaConfig] = {
  name: config for name, config in PRESETS.items() if name.startswith("llama")
}
# The shortest context of any release, so that an unknown model is not said to
# have been trained for more than it was.
_SHORTEST_CONTEXT = min(config.max_positions for config in RELEASES.values())

_READ = {
  *("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "multiple_of"),
  *("ffn_dim_multiplier", "norm_eps", "rope_theta", "use_scaled_rope"),
}
# Settings of whoever ran the model.
_INERT = {"max_batch_size", "max_seq_len", "model_parallel_size"}
_REFUSED = {
  "lora_args": "its weights have adapters beside them",
  "quantization_args": "its weights are quantised",
}
_SHAPE_FIELDS = (
  *("vocab_size", "width", "mlp_width", "num_layers", "num_heads"),
  *("num_kv_heads", "head_dim", "rope_theta"),
)


class Described(NamedTuple):
  """A model's shape, and how it is known.

  Attributes:
    config: The shape.
    release: The release that settled what the file does not say; None where no
      release has the shape.
  """

  config: LlamaConfig
  release: str | None


def read(directory: pathlib.Path) -> dict[str, Any]:
  """The raw fields of a folder's `params.json`, strictly parsed.

  Raises:
    FileNotFoundError: No such file.
    ValueError: Not a JSON object, too large, or a link out of the folder.
  """
  path = model_folder.safe_file(directory, FILE_NAME)
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  return strict_json.parse_object(data, what=str(path))


def describe(
  raw: Mapping[str, Any],
  *,
  vocab_size: int,
  mlp_width: int,
  has_head: bool,
  path: pathlib.Path,
  release: str | None = None,
  max_positions: int | None = None,
) -> Described:
  """The shape that a `params.json` and the sizes of the tensors describe.

  Args:
    raw: Its fields.
    vocab_size: Rows of the embedding.
    mlp_width: Rows of the MLP's first matrix.
    has_head: Whether there is a tensor `output.weight`.
    path: The file, for messages.
    release: The name of a release that settles what the file leaves open; None
      is the one of this shape.
    max_positions: The context, where it is known; None is the release's, or
      without one the shortest of all releases.

  Returns:
    The shape and the release.

  Raises:
    ValueError: A field that is not known or not supported, tensors of another
      size, or scaled RoPE by a factor that nothing tells.
  """
  fields = _fields(raw, path)
  if raw.get("vocab_size", -1) not in (-1, None, vocab_size):
    raise ValueError(
      f"{path}: vocab_size={json_fields.shown(raw['vocab_size'])}, and the"
      " embedding has"
      f" {vocab_size} rows. -1 means the embedding's."
    )
  expected = _mlp_width(raw, path)
  if mlp_width != expected:
    raise ValueError(
      f"{path}: dim, ffn_dim_multiplier and multiple_of make the MLP"
      f" {expected} wide, and the tensors make it {mlp_width}."
    )
  context = _SHORTEST_CONTEXT if max_positions is None else max_positions
  try:
    config = LlamaConfig(
      vocab_size=vocab_size,
      mlp_width=mlp_width,
      **fields,
      max_positions=context,
      tie_embeddings=not has_head,
    )
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error
  scaled = json_fields.boolean(raw, "use_scaled_rope", path)
  name = _release(config, scaled, release, path)
  if name is None:
    return Described(config, None)
  known = RELEASES[name]
  config = dataclasses.replace(
    config,
    rope_scaling=known.rope_scaling,
    tie_embeddings=known.tie_embeddings,
    max_positions=known.max_positions
    if max_positions is None
    else max_positions,
  )
  if not has_head and not config.tie_embeddings:
    raise ValueError(
      f"{path.parent}: there is no tensor 'output.weight', which {name} has."
    )
  return Described(config, name)


def _fields(raw: Mapping[str, Any], path: pathlib.Path) -> dict[str, Any]:
  """What stands in the file as our config has it."""
  for name, why in _REFUSED.items():
    if raw.get(name) is not None:
      raise ValueError(
        f"{path}: {name} is set: {why}. Only plain weights are read."
      )
  unknown = sorted(set(raw) - _READ - _INERT - set(_REFUSED))
  if unknown:
    raise ValueError(
      f"{path}: fields {json_fields.shown(unknown)} are not known here, and may"
      " change what the model computes. Take them out of the file if they do"
      " not."
    )
  width = _size(raw, "dim", path)
  heads = _size(raw, "n_heads", path)
  if width % heads:
    raise ValueError(f"{path}: dim={width} is no multiple of n_heads={heads}.")
  kv_heads = heads
  if raw.get("n_kv_heads") is not None:
    kv_heads = _size(raw, "n_kv_heads", path)
  norm_eps = json_fields.number(raw, "norm_eps", path)
  if not 0 < norm_eps < 1:
    raise ValueError(f"{path}: norm_eps={norm_eps} must be in (0, 1).")
  theta = json_fields.number(raw, "rope_theta", path, default=10_000.0)
  if theta <= 1:
    raise ValueError(f"{path}: rope_theta={theta} must be above 1.")
  return dict(
    width=width,
    num_layers=_size(raw, "n_layers", path, limit=_MAX_LAYERS),
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=width // heads,
    rope_theta=theta,
    norm_eps=norm_eps,
  )


def _size(
  raw: Mapping[str, Any],
  name: str,
  path: pathlib.Path,
  limit: int = _MAX_SIZE,
) -> int:
  value = json_fields.integer(raw, name, path)
  if not 1 <= value <= limit:
    raise ValueError(
      f"{path}: {name}={json_fields.shown(value)} must be from 1 to {limit}."
    )
  return value


def _mlp_width(raw: Mapping[str, Any], path: pathlib.Path) -> int:
  """Two thirds of four times the width, times a factor, rounded up.

  As `FeedForward.__init__` of Meta's Llama 2 and 3 code computes it.
  """
  width = int(2 * (4 * _size(raw, "dim", path)) / 3)
  if raw.get("ffn_dim_multiplier") is not None:
    factor = json_fields.number(raw, "ffn_dim_multiplier", path)
    if not 0 < factor <= 100:
      raise ValueError(
        f"{path}: ffn_dim_multiplier={factor} must be above 0, to 100."
      )
    width = int(factor * width)
  multiple = _size(raw, "multiple_of", path) if "multiple_of" in raw else 256
  return -(-width // multiple) * multiple


def _release(
  config: LlamaConfig, scaled: bool, given: str | None, path: pathlib.Path
) -> str | None:
  """The release that a shape belongs to; None if it need not be known."""
  if given is not None and given not in RELEASES:
    raise ValueError(f"release={given!r} is not one of {', '.join(RELEASES)}.")

  def scaling_fits(known: LlamaConfig) -> bool:
    return scaled == (known.rope_scaling is not None)

  of_shape = [
    name
    for name, known in RELEASES.items()
    if scaling_fits(known)
    and all(getattr(config, f) == getattr(known, f) for f in _SHAPE_FIELDS)
  ]
  if given is not None:
    known = RELEASES[given]
    if not scaling_fits(known) or known.rope_theta != config.rope_theta:
      raise ValueError(
        f"{path}: use_scaled_rope={scaled} and rope_theta={config.rope_theta}"
        f" are not those of release={given!r}."
      )
    if of_shape and given not in of_shape:
      raise ValueError(
        f"{path} has the shape of {' or '.join(of_shape)}, not of"
        f" release={given!r}, whose RoPE and context may differ."
      )
    return given
  # Llama 1 and 2 have models of one shape, told apart by what they add in
  # RMSNorm. 3.1 and 3.3 have too, and these are alike in everything.
  exact = [n for n in of_shape if RELEASES[n].norm_eps == config.norm_eps]
  if exact:
    return exact[0]
  if scaled:
    raise ValueError(
      f"{path} has use_scaled_rope=true and does not say by which factor, and"
      " no release has this shape. The wrong factor would spoil every long"
      " text. Name the release that the model was made from (--release):"
      f" {_scaled_releases()}."
    )
  return None


def _scaled_releases() -> str:
  return ", ".join(
    f"{name} (factor {known.rope_scaling.factor:g}, {known.num_layers} layers,"
    f" width {known.width})"
    for name, known in RELEASES.items()
    if known.rope_scaling is not None
  )
