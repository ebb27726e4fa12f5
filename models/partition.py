# SPDX-License-Identifier: Apache-2.0
"""Splits parameters into what is trained and what is frozen, by path.

With adapters (`LlamaConfig.lora`) the trained leaves are theirs, and a score
head, which starts from random numbers; everything else is frozen. Without
adapters everything is trained.
"""

from collections.abc import Callable
from typing import Any

import jax

from ramjax.models import llama
from ramjax.models.config import LlamaConfig
from ramjax.models.lora import ADAPTER_LEAVES

Params = dict[str, Any]


def is_trained(config: LlamaConfig, path: tuple[str, ...]) -> bool:
  """Whether the parameter at `path` is trained."""
  if config.lora is None:
    return True
  return path[-1] in ADAPTER_LEAVES or path[0] == "score"


def split(params: Params, config: LlamaConfig) -> tuple[Params, Params]:
  """(trained, frozen): two trees that together are `params`.

  Args:
    params: A nested dict; its leaves are not looked at, so a tree of shapes or
      of shardings is split the same way.
    config: Of the model.

  Returns:
    Two nested dicts without empty branches.
  """
  trained = _select(params, lambda path: is_trained(config, path))
  frozen = _select(params, lambda path: not is_trained(config, path))
  return trained, frozen


def trained_shapes(
  config: LlamaConfig,
) -> dict[tuple[str, ...], tuple[int, ...]]:
  """Shape of every parameter that is trained, by its path."""
  shapes, _ = llama.abstract_params(config)
  return {
    path: leaf.shape
    for entries, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    if is_trained(config, path := tuple(entry.key for entry in entries))
  }


def adapters_of(params: Params) -> Params:
  """The adapter leaves alone."""
  return _select(params, lambda path: path[-1] in ADAPTER_LEAVES)


def without_adapters(params: Params) -> Params:
  """The base of an adapted model: `params` less every adapter leaf.

  Apply it with the config's `lora` set to None.
  """
  return _select(params, lambda path: path[-1] not in ADAPTER_LEAVES)


def join(first: Params, second: Params) -> Params:
  """The tree that `split` took apart.

  Raises:
    ValueError: A path holds a leaf in both.
  """
  joined = dict(first)
  for key, value in second.items():
    if key not in joined:
      joined[key] = value
    elif isinstance(value, dict) and isinstance(joined[key], dict):
      joined[key] = join(joined[key], value)
    else:
      raise ValueError(f"{key!r} is a parameter in both trees.")
  return joined


def _select(
  tree: Params,
  wanted: Callable[[tuple[str, ...]], bool],
  path: tuple[str, ...] = (),
) -> Params:
  kept: Params = {}
  for key, value in tree.items():
    here = (*path, key)
    if isinstance(value, dict):
      branch = _select(value, wanted, here)
      if branch:
        kept[key] = branch
    elif wanted(here):
      kept[key] = value
  return kept
