# SPDX-License-Identifier: Apache-2.0
"""Every experiment file is complete, builds, and says how to run it."""

import ast
import dataclasses
import importlib
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from ramjax.configs import base
from ramjax.data import templates
from ramjax.data.batches import TokenBatch
from ramjax.models import llama, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import from_config, initial_weights, launch, sft
from ramjax.trainers import step as step_lib

_ROOT = pathlib.Path(__file__).parents[1]
_NAMES = sorted(
  path.stem
  for path in (_ROOT / "configs").glob("*.py")
  if path.stem not in ("__init__", "base")
)
every_config = pytest.mark.parametrize("name", _NAMES)


def _module(name: str):
  return importlib.import_module(f"ramjax.configs.{name}")


def _config(name: str) -> Any:
  return _module(name).get_config().lock()


def _with_a_model(config: Any) -> Any:
  """A stand-in for the Hugging Face folder that a config leaves to its user."""
  if config.init.from_hf:
    config.init.from_hf = ""
    config.model.preset = "llama3_2_1b"
  return config


def _leaves(config: Any, prefix: str = "") -> set[str]:
  found = set()
  for key, value in config.items():
    if isinstance(value, ml_collections.ConfigDict) and key != "sources":
      found |= _leaves(value, f"{prefix}{key}.")
    else:
      found.add(prefix + key)
  return found


@every_config
def test_the_docstring_gives_the_command_and_what_came_of_it(name):
  docstring = _module(name).__doc__ or ""
  assert f"ramjax train --config=configs/{name}.py" in docstring
  # A measured figure is a result and its unit: "perplexity 12.3, 140 s".
  measured = re.search(r"\d (s|min|minutes|h|hours)\b", docstring)
  assert "not yet run" in " ".join(docstring.split()) or measured


@every_config
def test_it_has_the_fields_of_its_algorithm_and_no_others(name):
  config = _config(name)
  assert config.algorithm in launch.algorithms()
  # The loss brings its own fields, which its `make_loss_fn` knows (below).
  own = {leaf for leaf in _leaves(config) if not leaf.startswith("loss.")}
  shared = {
    leaf for leaf in _leaves(base.sft()) if not leaf.startswith("loss.")
  }
  assert own == shared
  assert config.data.sources
  entry = set(base.source("x"))
  assert all(set(s) == entry for s in config.data.sources.values())


@every_config
def test_an_unknown_field_is_refused_by_name(name):
  config = _config(name)
  with pytest.raises(AttributeError, match="learning_rte"):
    config.optim.learning_rte = 1.0
  with pytest.raises(AttributeError, match="optimm"):
    config.optimm = {}


@every_config
def test_two_calls_share_nothing(name):
  first, second = _config(name), _config(name)
  first.optim.learning_rate = 123.0
  assert second.optim.learning_rate != 123.0


@every_config
def test_it_holds_data_only(name):
  def check(value):
    if isinstance(value, dict):
      for inner in value.values():
        check(inner)
    elif isinstance(value, tuple):
      for inner in value:
        check(inner)
    else:
      assert value is None or isinstance(value, str | int | float), value

  check(_config(name).to_dict())


@every_config
def test_one_update_traces(name):
  config = _with_a_model(_config(name))
  model = initial_weights.make_model_config(config)
  from_config.make_loop_schedule(config)
  templates.template_digest(config.data.template)
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  algorithm = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  loss_fn = algorithm.make_loss_fn(model, num_shards=1, **config.loss.to_dict())
  params, _ = llama.abstract_params(model)
  shape = (config.data.batch_size, config.data.max_length)
  integers: Any = jax.ShapeDtypeStruct(shape, jnp.int32)
  booleans: Any = jax.ShapeDtypeStruct(shape, jnp.bool_)
  batch = TokenBatch(
    tokens=integers,
    response_mask=booleans,
    segment_ids=integers,
    positions=integers,
  )

  def update(params, batch):
    grads, loss, _ = step_lib.accumulate_gradients(
      loss_fn,
      params,
      batch,
      jax.random.key(0),
      num_microbatches=config.data.num_microbatches,
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates, loss.value

  # Shapes only: an 8B model costs no memory here.
  updates, loss = jax.eval_shape(update, params, batch)
  assert loss.shape == () and loss.dtype == jnp.float32
  assert jax.tree.map(lambda x: x.shape, updates) == jax.tree.map(
    lambda x: x.shape, params
  )


@every_config
def test_the_model_covers_the_tokenizer_that_is_trained(name):
  config = _with_a_model(_config(name))
  model = initial_weights.make_model_config(config)
  if not config.tokenizer.path and not _config(name).init.from_hf:
    assert config.tokenizer.train_vocab_size <= model.vocab_size


# Sections whose reader takes them whole, and refuses a field it does not know.
_TAKEN_WHOLE = {"model", "loss", "mesh"}


def _reads(folders: tuple[str, ...]) -> set[tuple[str, str]]:
  """(section, field) of each `x.section.field`; ("", field) of any `x.field`.

  `x[...].field` counts as the latter, `x["section"]["field"]` as the former.
  """
  found = set()
  for path in (p for f in folders for p in (_ROOT / f).glob("*.py")):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
      if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        found.add(("", node.attr))
        if isinstance(node.value, ast.Attribute):
          found.add((node.value.attr, node.attr))
      match node:
        case ast.Subscript(
          value=ast.Subscript(slice=ast.Constant(value=section)),
          slice=ast.Constant(value=field),
        ):
          found.add((section, field))
  return found


def test_every_field_is_read_by_the_code():
  reads = _reads(("trainers", "data", "evals"))
  unread = set()
  for leaf in _leaves(base.sft()):
    section, _, field = leaf.rpartition(".")
    if section not in _TAKEN_WHOLE and (section, field) not in reads:
      unread.add(leaf)
  assert not unread


def test_every_field_of_a_source_is_read_by_the_code():
  reads = _reads(("trainers",))
  assert all(("", field) in reads for field in base.source("x"))


def test_every_field_of_the_model_is_one_that_the_model_reads():
  config: Any = base.sft()
  fields = set(config.model) - {"preset"}
  assert fields <= {f.name for f in dataclasses.fields(LlamaConfig)}
  reads = _reads(("models", "trainers"))
  assert not {field for field in fields if ("", field) not in reads}


def test_every_field_of_the_loss_and_the_mesh_is_one_they_know():
  config: Any = base.sft()
  config.model.preset = "tiny"
  # An unknown keyword would be a TypeError, an unknown axis a ValueError.
  sft.make_loss_fn(
    initial_weights.make_model_config(config),
    num_shards=1,
    **config.loss.to_dict(),
  )
  mesh = sharding.make_mesh(config.mesh.to_dict())
  assert set(mesh.axis_names) == set(config.mesh)
