# SPDX-License-Identifier: Apache-2.0
"""Small Llamas for all tests of this folder, and the golden maker."""

import functools
import importlib.util
import pathlib
from types import ModuleType

import jax
import jax.numpy as jnp
import pytest
import tiny_source

from ramjax.models import hf_names, llama
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


def _load_module(path: pathlib.Path) -> ModuleType:
  spec = importlib.util.spec_from_file_location(path.stem, path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture(scope="session")
def golden_maker() -> ModuleType:
  """tests/golden/make_llama_goldens.py, which is no test module."""
  folder = pathlib.Path(__file__).parents[1] / "golden"
  return _load_module(folder / "make_llama_goldens.py")


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
  """tests/tiny/tiny_source.py, which is no test module."""
  return tiny_source


@pytest.fixture(scope="session")
def shapes(golden_maker, tiny) -> dict[str, LlamaConfig]:
  """One tiny config per Llama generation, family and kind of head."""
  cases = {name: case.config for name, case in golden_maker.CASES.items()}
  return cases | tiny.cousins(cases["3"])


@pytest.fixture(scope="session")
def state_of(golden_maker, tiny, shapes):
  """Name of a shape -> random float32 weights in Hugging Face names."""

  def build(name: str):
    config = shapes[name]
    seed = list(shapes).index(name)
    return tiny.completed(golden_maker.random_state(config, seed), config, seed)

  return build


@pytest.fixture(scope="session")
def source_of(tiny, shapes, state_of):
  """(Name of a shape, dtype) -> an `ArraySource` of random weights."""

  def build(name: str, dtype: str = "float32", **options):
    specs = hf_names.hf_specs(shapes[name], dtype)
    arrays = tiny.in_order(state_of(name), specs, dtype)
    return tiny.ArraySource(shapes[name], arrays, **options)

  return build
