# SPDX-License-Identifier: Apache-2.0
"""RoPE as a Hugging Face config spells it: two generations of fields.

`rope_theta` with `rope_scaling` is the older one; `rope_parameters` holds both
in the newer. Both are read, and the older is written, because a release that
does not know `rope_parameters` would take its default base instead.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models import json_fields
from ramjax.models.config import LlamaConfig, RopeScaling

# Kind -> their name of each parameter -> our field.
_PARAMETERS: Mapping[str, Mapping[str, str]] = {
  "default": {},
  "linear": {"factor": "factor"},
  "llama3": {
    "factor": "factor",
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_max_position_embeddings": "original_max_positions",
  },
}


def read(
  raw: Mapping[str, Any], path: pathlib.Path
) -> tuple[float, RopeScaling | None]:
  """Base and scaling of a config, from either way of writing them.

  Args:
    raw: The fields of `config.json`.
    path: The file, for messages.

  Returns:
    The base, 10,000 where none is given, and the scaling or None.

  Raises:
    ValueError: A kind or a parameter that is not known here, or two ways of
      writing it that disagree.
  """
  theta, spec = _spec(raw, path)
  kinds = {str(spec.pop(k)) for k in ("rope_type", "type") if k in spec}
  if len(kinds) > 1:
    raise ValueError(
      f"{path}: RoPE types {json_fields.shown(sorted(kinds))} disagree: keep"
      " one."
    )
  kind = kinds.pop() if kinds else "default"
  if kind not in _PARAMETERS:
    raise ValueError(
      f"{path}: RoPE type {json_fields.shown(kind)} is not supported;"
      f" {', '.join(_PARAMETERS)}"
      " are."
    )
  unknown = sorted(set(spec) - set(_PARAMETERS[kind]))
  if unknown:
    raise ValueError(
      f"{path}: RoPE parameters {json_fields.shown(unknown)} are not known for"
      f" type {kind!r}."
    )
  if kind == "default":
    return theta, None
  values: dict[str, Any] = {}
  for theirs, ours in _PARAMETERS[kind].items():
    whole = theirs == "original_max_position_embeddings"
    get = json_fields.integer if whole else json_fields.number
    values[ours] = get(spec, theirs, path)
  try:
    return theta, RopeScaling(kind=kind, **values)
  except ValueError as error:
    raise ValueError(f"{path}: {error}") from error


def _spec(
  raw: Mapping[str, Any], path: pathlib.Path
) -> tuple[float, dict[str, Any]]:
  """The base, and the other parameters wherever they stand."""
  new, old = raw.get("rope_parameters"), raw.get("rope_scaling")
  if new is not None and old is not None and new != old:
    raise ValueError(
      f"{path} has both rope_parameters and another rope_scaling: keep one."
    )
  spec = new if new is not None else old
  if spec is not None and not isinstance(spec, dict):
    raise ValueError(
      f"{path}: RoPE scaling {json_fields.shown(spec)} must be an object."
    )
  spec = dict(spec or {})
  theta = json_fields.number(raw, "rope_theta", path, default=10_000.0)
  if "rope_theta" in spec:
    inner = json_fields.number(spec, "rope_theta", path)
    if raw.get("rope_theta") is not None and inner != theta:
      raise ValueError(
        f"{path}: rope_theta is {theta} and, in its RoPE parameters, {inner}."
      )
    theta = inner
    del spec["rope_theta"]
  if theta < 1:
    raise ValueError(f"{path}: rope_theta={theta} must be at least 1.")
  return theta, spec


def write(config: LlamaConfig) -> dict[str, Any]:
  """The fields `rope_theta` and `rope_scaling` of a config."""
  scaling = config.rope_scaling
  if scaling is None:
    return {"rope_theta": config.rope_theta, "rope_scaling": None}
  spec = {
    "rope_type": scaling.kind,
    **{
      theirs: getattr(scaling, ours)
      for theirs, ours in _PARAMETERS[scaling.kind].items()
    },
  }
  if scaling.kind == "linear":
    spec["type"] = "linear"  # What transformers before 4.43 reads.
  return {"rope_theta": config.rope_theta, "rope_scaling": spec}
