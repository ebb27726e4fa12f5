# SPDX-License-Identifier: Apache-2.0
"""Every experiment file is complete, builds, and says how to run it."""

import ast
import dataclasses
import importlib
import operator
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import pytest

from ramjax.configs import base
from ramjax.data import templates
from ramjax.models import llama, sharding
from ramjax.models.config import LlamaConfig
from ramjax.trainers import (
  abstract_batch,
  critic,
  from_config,
  initial_weights,
  launch,
  references,
  round_fit,
  sft,
)
from ramjax.trainers import step as step_lib
from ramjax.trainers.algorithm import Algorithm

_ROOT = pathlib.Path(__file__).parents[1]
_NAMES = sorted(
  path.stem
  for path in (_ROOT / "configs").glob("*.py")
  if "\ndef get_config(" in path.read_text("utf-8")
)
# Of one method: at tiny size, and the paper's numbers for Llama 3 8B.
_TINY = [name for name in _NAMES if name.endswith("_tiny")]
_LARGE = [name for name in _NAMES if name.endswith("_llama3_8b")]
# Of one method, for a pod: each is the config for 8B at another size.
_70B = [name for name in _NAMES if name.endswith("_llama3_1_70b")]
every_config = pytest.mark.parametrize("name", _NAMES)
# A trace takes about a second. The large configs differ from the tiny ones in
# the model's shape, which is the same for all of them.
_TRACED_ALWAYS = {"dpo_llama3_8b", "kto_llama3_8b", "cut_llama3_8b"}
every_trace = pytest.mark.parametrize(
  "name",
  [
    pytest.param(
      name,
      marks=[pytest.mark.slow]
      if name in _LARGE + _70B and name not in _TRACED_ALWAYS
      else [],
    )
    for name in _NAMES
  ],
)
_TREES = {
  algorithm: getattr(base, algorithm)()
  for algorithm in ("sft", "preference", "unpaired", "cut", "reward", "ppo")
}
_TREES["rounds"] = base.rounds(
  base.preference(), select=dict(name="best"), rewards={}
)


def _module(name: str):
  return importlib.import_module(f"ramjax.configs.{name}")


def _config(name: str) -> Any:
  return _module(name).get_config().lock()


# A workdir that no run has used.
_NOWHERE = pathlib.Path("no-such-run")


def _algorithm(config: Any) -> Algorithm:
  module = importlib.import_module(f"ramjax.trainers.{config.algorithm}")
  if config.algorithm == "ppo":
    return module.make_algorithm(config, _NOWHERE)
  return module.ALGORITHM


def _as_run(config: Any) -> Any:
  """The run that is fitted in each round, or the config itself."""
  return round_fit.whole_tree(config) if "fit" in config else config


def _own(config: Any) -> Any:
  """Where the fields of a fit lie."""
  return config.fit if "fit" in config else config


def _tree(config: Any) -> Any:
  """The tree of a config's algorithm, with all of its fields."""
  if "fit" not in config:
    return _TREES[config.algorithm]
  fit = getattr(base, config.fit.algorithm)()
  return base.rounds(fit, select=dict(name="best"), rewards={})


def _with_a_model(config: Any) -> Any:
  """A stand-in for the folder that a config leaves to its user."""
  config = _as_run(config)
  for role in ("critic", "reward_model"):
    if role in config:
      config[role].from_hf = config[role].from_run = ""
  if config.init.from_hf or config.init.from_run:
    kind = "llama3_2_1b" if config.init.from_hf else "tiny"
    config.init.from_hf = config.init.from_run = ""
    config.model.preset = config.model.preset or kind
    # Adapters need weights that exist; without them all weights are trained.
    config.lora.rank = 0
    config.lora.quantize_base = "none"
  return config


def _leaves(config: Any, prefix: str = "") -> set[str]:
  """Dotted names of the fields, without those that are named freely."""
  found = set()
  for key, value in config.items():
    name = (prefix + key).removeprefix("fit.")
    freely = name in ("data.sources", "loss.terms", "rewards", "select")
    if isinstance(value, ml_collections.ConfigDict) and not freely:
      found |= _leaves(value, f"{prefix}{key}.")
    else:
      found.add(prefix + key)
  return found


def _docstring(name: str) -> str:
  return " ".join((_module(name).__doc__ or "").split())


@every_config
def test_the_docstring_gives_the_command_and_what_came_of_it(name):
  docstring = _docstring(name)
  assert f"ramjax train --config=configs/{name}.py" in docstring
  # A measured figure is a result and its unit: "perplexity 12.3, 140 s".
  measured = re.search(r"\d (s|min|minutes|h|hours)\b", docstring)
  assert "not yet run" in docstring or measured


@pytest.mark.parametrize("name", _TINY + _LARGE)
def test_a_method_names_its_paper(name):
  if name != "reward_classification_tiny":
    assert re.search(r"arXiv \d{4}\.\d{5}", _docstring(name))


@pytest.mark.parametrize("name", _LARGE)
def test_a_large_config_says_where_its_numbers_are_from(name):
  docstring = _docstring(name)
  assert "assumed" in docstring.lower() or "authors' code" in docstring
  assert "not yet run" in docstring


@every_config
def test_it_has_the_fields_of_its_algorithm_and_no_others(name):
  config = _config(name)
  assert config.algorithm in launch.algorithms()
  assert _leaves(config) == _leaves(_tree(config))
  assert config.data.sources
  entry = set(base.source("x"))
  assert all(set(s) == entry for s in config.data.sources.values())


@pytest.mark.parametrize("name", _LARGE)
def test_a_large_config_minimises_what_the_tiny_one_does(name):
  tiny = name.removesuffix("_llama3_8b") + "_tiny"
  assert _as_run(_config(name)).loss == _as_run(_config(tiny)).loss


@pytest.mark.parametrize("name", _70B)
def test_a_70b_config_is_the_8b_one_at_another_size(name):
  small, large = _config(name.replace("_70b", "_8b")), _config(name)
  assert _leaves(small) == _leaves(large)
  differ = {
    leaf
    for leaf in _leaves(large)
    if operator.attrgetter(leaf)(small) != operator.attrgetter(leaf)(large)
  }
  # PPO has as many answers an update at either size, and works through more of
  # them at a time.
  rows = "num_microbatches" if large.algorithm == "ppo" else "batch_size"
  assert differ == {
    "init.from_hf",
    "model.preset",
    "optim.learning_rate",
    f"data.{rows}",
  }
  assert large.optim.learning_rate < small.optim.learning_rate


@pytest.mark.parametrize("name", _70B)
def test_a_config_for_a_pod_minimises_what_that_for_eight_chips_does(name):
  method = name.removesuffix("_llama3_1_70b")
  other = {"sft": "sft_from_hf", "reward": "reward_bradley_terry_llama3_8b"}
  smaller = other.get(method, f"{method}_llama3_8b")
  assert _config(name).loss == _config(smaller).loss


def test_only_losses_without_a_paper_on_language_models_have_no_large_config():
  # A round's fit is a method that has one.
  methods = {
    name.removesuffix("_tiny") for name in _TINY if "fit" not in _config(name)
  }
  large = {
    name.removesuffix("_llama3_8b")
    for name in _LARGE
    if "fit" not in _config(name)
  }
  # Ordinal regression and classification have no recipe to follow.
  assert methods - large == {"reward_ordinal", "reward_classification"}
  assert large <= methods


def test_every_loss_has_a_config():
  losses = {
    path.stem
    for path in (_ROOT / "losses").glob("*.py")
    if f"\ndef {path.stem}_loss(" in path.read_text("utf-8")
  }
  used = {
    term
    for name in _TINY
    for term in _as_run(_config(name)).loss.get("terms", {})
  }
  # SFT is its own algorithm, with its own configs.
  assert losses - used == {"sft"}
  assert used <= losses


@every_config
def test_an_unknown_field_is_refused_by_name(name):
  config = _config(name)
  with pytest.raises(AttributeError, match="learning_rte"):
    _own(config).optim.learning_rte = 1.0
  with pytest.raises(AttributeError, match="optimm"):
    config.optimm = {}


@every_config
def test_two_calls_share_nothing(name):
  first, second = _config(name), _config(name)
  _own(first).optim.learning_rate = 123.0
  assert _own(second).optim.learning_rate != 123.0


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
def test_the_parts_of_a_run_can_be_made(name):
  config = _with_a_model(_config(name))
  model = initial_weights.make_model_config(config)
  schedule = from_config.make_loop_schedule(config)
  assert config.optim.warmup_steps < schedule.total_steps
  templates.template_digest(config.data.template)
  params: Any = {"weight": jnp.zeros((2, 2))}
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  optimizer.update(params, optimizer.init(params), params)
  # On the eight devices that a large config is meant for.
  from_config.make_mesh(config, model)


@every_trace
def test_the_loss_traces(name):
  config = _with_a_model(_config(name))
  model = initial_weights.make_model_config(config)
  reference = references.choose(config, model)
  objective = _algorithm(config).make_objective(
    model,
    reference_config=None if reference is None else reference.config,
    **config.loss.to_dict(),
  )
  params, _ = llama.abstract_params(model)
  if config.algorithm == "ppo":
    shape = critic.make_config(config, model, _NOWHERE)
    if shape is not None:
      params[critic.CRITIC], _ = llama.abstract_params(shape)
  reference_params: Any = {}
  if objective.reference_config is not None:
    reference_params, _ = llama.abstract_params(objective.reference_config)
  batch = abstract_batch.abstract_batch(config, num_rows=4, row_length=64)
  key = jax.random.key(0)

  def loss(params, reference_params, batch):
    carried = {k: jnp.float32(v) for k, v in objective.carried.items()}
    kept = carried
    if objective.prepare is not None:
      batch, kept = objective.prepare(
        params, reference_params, carried, batch, key, 2
      )
    assert kept.keys() == carried.keys()
    return objective.loss_fn(params, batch, key)

  # Shapes only: an 8B model costs no memory here.
  mean, metrics = jax.eval_shape(loss, params, reference_params, batch)
  for value in (mean, *metrics.values()):
    assert value.total.shape == () and value.total.dtype == jnp.float32


@pytest.mark.parametrize("name", ["sft_llama3_1_8b", "dpo_llama3_8b"])
def test_one_update_of_a_large_model_traces(name):
  config = _with_a_model(_config(name))
  model = initial_weights.make_model_config(config)
  optimizer = from_config.make_optimizer(
    config, from_config.make_learning_rate(config)
  )
  objective = _algorithm(config).make_objective(
    model, reference_config=model, **config.loss.to_dict()
  )
  params, _ = llama.abstract_params(model)

  def update(params, batch):
    key = jax.random.key(0)
    if objective.prepare is not None:
      batch, _ = objective.prepare(params, params, {}, batch, key, 2)
    grads, loss, _ = step_lib.accumulate_gradients(
      objective.loss_fn, params, batch, key, num_microbatches=2
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    return updates, loss.value

  batch = abstract_batch.abstract_batch(config, num_rows=4, row_length=64)
  updates, loss = jax.eval_shape(update, params, batch)
  assert loss.shape == () and loss.dtype == jnp.float32
  assert jax.tree.map(lambda x: x.shape, updates) == jax.tree.map(
    lambda x: x.shape, params
  )


@every_config
def test_the_model_covers_the_tokenizer_that_is_trained(name):
  config = _as_run(_config(name))
  trained = not (
    config.tokenizer.path or config.init.from_hf or config.init.from_run
  )
  if trained:
    model = initial_weights.make_model_config(config)
    assert config.tokenizer.train_vocab_size <= model.vocab_size


# Sections whose reader takes them whole, and refuses a field it does not know.
_TAKEN_WHOLE = {"model", "mesh", "loss"}
# Sections that are handed on, and what they are called there.
_CALLED = {
  "init": "fields",
  "reference": "fields",
  "critic": "fields",
  "reward_model": "fields",
  "judge": "fields",
  "rollout": "options",
  "credit": "options",
  "scores": "options",
}


def _reads(folders: tuple[str, ...]) -> set[tuple[str, str]]:
  """(section, field) of each `x.section.field`; ("", field) of any `x.field`.

  `section.field` of a variable counts as the former; `x[...].field` counts as
  the latter, `x["section"]["field"]` as the former.
  """
  found = set()
  for path in (p for f in folders for p in (_ROOT / f).glob("*.py")):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
      if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        found.add(("", node.attr))
        if isinstance(node.value, ast.Attribute):
          found.add((node.value.attr, node.attr))
        elif isinstance(node.value, ast.Name):
          found.add((node.value.id, node.attr))
      match node:
        case ast.Subscript(
          value=ast.Subscript(slice=ast.Constant(value=section)),
          slice=ast.Constant(value=field),
        ):
          found.add((section, field))
  return found


@pytest.mark.parametrize("algorithm", _TREES)
def test_every_field_is_read_by_the_code(algorithm):
  reads = _reads(("trainers", "data", "evals"))
  unread = set()
  for leaf in _leaves(_TREES[algorithm]):
    section, _, field = leaf.removeprefix("fit.").rpartition(".")
    names = {section, _CALLED.get(section, section)}
    if section not in _TAKEN_WHOLE and not reads & {(n, field) for n in names}:
      unread.add(leaf)
  assert not unread


def test_every_algorithm_has_its_tree():
  assert set(_TREES) == set(launch.algorithms())


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
    initial_weights.make_model_config(config), **config.loss.to_dict()
  )
  mesh = sharding.make_mesh(config.mesh.to_dict())
  assert set(mesh.axis_names) == set(config.mesh)
