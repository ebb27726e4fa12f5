# SPDX-License-Identifier: Apache-2.0
"""One small Llama for all tests of this folder, and the golden maker."""

import functools
import importlib.util
import pathlib
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest

from ramjax.models import llama
from ramjax.models.config import LlamaConfig

# Every axis has its own size, so that a mixed-up pair of axes is an error;
# all sizes can be split over the meshes of 8 devices.
CONFIG = LlamaConfig(
  vocab_size=64,
  width=32,
  mlp_width=48,
  num_layers=3,
  num_heads=4,
  num_kv_heads=2,
  head_dim=16,
)


@pytest.fixture(scope="session")
def config() -> LlamaConfig:
  return CONFIG


@pytest.fixture(scope="session")
def fresh() -> list[llama.Params]:
  """What `init_params` gives for the keys 0 and 1, as NumPy arrays."""
  keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
  init = jax.jit(jax.vmap(functools.partial(llama.init_params, CONFIG)))
  both = jax.device_get(init(keys))
  return [jax.tree.map(lambda x, i=i: x[i], both) for i in range(2)]


@pytest.fixture(scope="session")
def params(fresh: list[llama.Params]) -> llama.Params:
  """Parameters whose attention and logits are far from uniform."""
  return jax.tree.map(lambda x: 4 * x if x.ndim > 1 else x, fresh[0])


@pytest.fixture(scope="session")
def golden_maker() -> ModuleType:
  """tests/golden/make_llama_goldens.py, which is no test module."""
  path = pathlib.Path(__file__).parents[1] / "golden/make_llama_goldens.py"
  spec = importlib.util.spec_from_file_location("make_llama_goldens", path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
