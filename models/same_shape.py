# SPDX-License-Identifier: Apache-2.0
"""Refuses to do arithmetic between models that do not have the same tensors."""

import dataclasses
from collections.abc import Mapping

from ramjax.models.config import COMPUTE_FIELDS
from ramjax.models.tensors import Source, TensorError

_NUM_SHOWN = 3


def check(models: Mapping[str, Source]) -> None:
  """Checks that all models have the first one's shape; dtypes may differ.

  Args:
    models: By what they are called in messages.

  Raises:
    TensorError: A field of the config, or a tensor's name or shape, differs.
  """
  (first_name, first), *others = models.items()
  for name, other in others:
    _check_shapes(first_name, first, name, other)
    for field in dataclasses.fields(first.config):
      ours = getattr(first.config, field.name)
      theirs = getattr(other.config, field.name)
      if field.name not in COMPUTE_FIELDS and ours != theirs:
        raise TensorError(
          f"{field.name} is {ours} in {first_name} and {theirs} in {name}:"
          " weights are combined only between models of one shape."
        )


def _check_shapes(
  first_name: str, first: Source, name: str, other: Source
) -> None:
  lone = sorted(first.specs.keys() ^ other.specs.keys())
  if lone:
    owner, lacks = first_name, name
    if lone[0] in other.specs:
      owner, lacks = name, first_name
    raise TensorError(
      f"tensor {lone[0]!r} is in {owner} and not in {lacks} ({len(lone)}"
      " such): weights are combined only between models of one shape."
    )
  differ = [
    tensor
    for tensor, spec in first.specs.items()
    if spec.shape != other.specs[tensor].shape
  ]
  if not differ:
    return
  shown = "; ".join(
    f"{tensor!r} is {list(first.specs[tensor].shape)} in {first_name} and"
    f" {list(other.specs[tensor].shape)} in {name}"
    for tensor in differ[:_NUM_SHOWN]
  )
  more = len(differ) - _NUM_SHOWN
  advice = "weights are combined only between models of one shape."
  if first.config.vocab_size != other.config.vocab_size:
    advice = (
      "one has tokens that the other lacks. Make the vocabularies equal first:"
      " `ramjax convert vocab`."
    )
  raise TensorError(
    f"{shown}{f'; and {more} more' if more > 0 else ''}: {advice}"
  )
