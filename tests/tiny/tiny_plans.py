# SPDX-License-Identifier: Apache-2.0
"""Runs of shipped configs as a plan sees them: shapes, of no weights."""

import importlib
from collections.abc import Sequence
from typing import Any

import jax

from ramjax.trainers import abstract_run
from ramjax.trainers.abstract_run import AbstractRun


def described(
  name: str, devices: Sequence[Any] | None = None, **changes: Any
) -> AbstractRun:
  """What a config runs, on eight devices where none are given.

  Args:
    name: Of the config.
    devices: To run on.
    **changes: Of its fields: `model__remat="full"` is `config.model.remat`.
  """
  config = importlib.import_module(f"ramjax.configs.{name}").get_config()
  for field, value in changes.items():
    group, field = field.split("__")
    config[group][field] = value
  return abstract_run.describe_run(config, devices or jax.devices()[:8])
