# SPDX-License-Identifier: Apache-2.0
"""Which model the policy is compared with, and that it is that model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny_model_folder
from tiny_model_folder import CONFIG

from ramjax.configs import base
from ramjax.models import frozen_base, llama, sharding, source_params
from ramjax.models.hf_folder import HFFolder
from ramjax.trainers import initial_weights, references, starting_model
from ramjax.trainers.state import init_state


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """A model to start from, another, and one of another vocabulary."""
  root = tmp_path_factory.mktemp("models")
  tiny_model_folder.write(root / "start")
  tiny_model_folder.write(root / "other", seed=1)
  larger = dataclasses.replace(CONFIG, vocab_size=328)
  tiny_model_folder.write(root / "larger", larger)
  scored = dataclasses.replace(CONFIG, num_labels=1)
  tiny_model_folder.write(root / "scored", scored)
  return root


def _config(folders, **fields):
  config = base.preference(dpo=dict(weight=1.0, beta=0.1))
  config.init.from_hf = str(folders / "start")
  config.data.max_length = 32
  for name, value in fields.items():
    config.update_from_flattened_dict({name: value})
  return config


def _choose(folders, **fields):
  config = _config(folders, **{f"reference.{k}": v for k, v in fields.items()})
  reference = references.choose(config, CONFIG)
  assert reference is not None
  return reference


def _hidden(params, config):
  tokens = jnp.arange(24, dtype=jnp.int32).reshape(2, 12) * 7 % 300
  positions = jnp.broadcast_to(jnp.arange(12), (2, 12))
  run = jax.jit(
    lambda params: llama.apply(params, config, tokens, positions=positions)
  )
  return np.asarray(run(params))


def _state(config, reference, model_config, mesh):
  start = starting_model.choose(config)
  trained, frozen = initial_weights.load(config, model_config, mesh, start)
  return init_state(
    trained,
    optax.sgd(0.1),
    mesh=mesh,
    seed=0,
    with_ema=False,
    frozen=frozen,
    reference=references.load(reference, trained, frozen, mesh),
    moving_reference=reference.sync is not None,
  )


def test_an_algorithm_without_references_has_none(folders):
  assert references.choose(base.sft(), CONFIG) is None


def test_the_reference_is_the_start_unless_another_is_named(folders):
  reference = _choose(folders)
  assert reference.is_start and reference.sync is None
  assert references.describe(reference) == {"is_start": True}


def test_another_folder_is_described_down_to_its_fingerprint(folders):
  reference = _choose(folders, from_hf=str(folders / "other"))
  assert not reference.is_start
  described = references.describe(reference)
  assert described["folder"] == str((folders / "other").resolve())
  assert described["fingerprint"] and described["is_start"] is False


def test_a_moving_one_says_how_it_moves(folders):
  reference = _choose(folders, sync_every=4, sync_rate=0.5)
  assert reference.is_start
  sync = references.describe(reference)["sync"]
  assert sync == {"every": 4, "rate": 0.5}


@pytest.mark.parametrize(
  "fields,says",
  [
    (dict(from_hf="larger"), "vocab_size=328"),
    (dict(from_hf="scored"), "num_labels=1"),
    (dict(from_hf="other", sync_every=2), "stays where it is"),
    (dict(sync_every=2, cache="x"), "keeps its log-probabilities: use one"),
    (dict(sync_every=2, sync_rate=0.0), "reference.sync_rate=0.0"),
    (dict(step=3), "reference.step=3"),
    (dict(from_run="start"), "reference.from_run="),
    (dict(from_hf="other", from_run="start"), "name one model"),
  ],
)
def test_fields_that_contradict_are_refused(folders, fields, says):
  for name in ("from_hf", "from_run"):
    if name in fields:
      fields = {**fields, name: str(folders / fields[name])}
  with pytest.raises(ValueError) as error:
    _choose(folders, **fields)
  assert says in str(error.value)


def test_a_whole_start_is_copied_and_another_folder_is_read(folders):
  mesh = sharding.make_mesh({"fsdp": 8})
  for name, fields in (("start", {}), ("other", {"reference.from_hf": ""})):
    if fields:
      fields["reference.from_hf"] = str(folders / name)
    config = _config(folders, **fields)
    reference = references.choose(config, CONFIG)
    assert reference is not None
    state = _state(config, reference, CONFIG, mesh)
    expected = source_params.load_params(HFFolder(folders / name), mesh)
    jax.tree.map(np.testing.assert_array_equal, state.reference, expected)
    # A step donates the policy: the reference must outlive it.
    for leaf in jax.tree.leaves(state.params):
      leaf.delete()
    _hidden(state.all_reference, reference.config)


@pytest.mark.parametrize(
  "quantize_base,dora",
  [
    ("none", False),
    pytest.param("nf4", True, marks=pytest.mark.slow),
    pytest.param("none", True, marks=pytest.mark.slow),
    pytest.param("nf4", False, marks=pytest.mark.slow),
  ],
)
def test_beside_adapters_it_is_the_base_bit_for_bit(
  folders, quantize_base, dora
):
  lora = {
    "lora.rank": 4, "lora.quantize_base": quantize_base, "lora.dora": dora
  }  # fmt: skip
  config = _config(folders, **lora)
  model_config = initial_weights.make_model_config(config)
  reference = references.choose(config, model_config)
  assert reference is not None and reference.config.lora is None
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  state = _state(config, reference, model_config, mesh)
  assert state.reference == {}, "a second copy of the base"
  found = _hidden(state.all_reference, reference.config)
  source = HFFolder(folders / "start")
  if quantize_base == "none":
    whole = source_params.load_params(source, mesh)
    np.testing.assert_array_equal(found, _hidden(whole, CONFIG))
  else:
    alone = frozen_base.load(source, model_config, mesh)
    alone_config = dataclasses.replace(model_config, lora=None)
    np.testing.assert_array_equal(found, _hidden(alone, alone_config))
  # Fresh adapters add nothing (DoRA divides and multiplies by a norm).
  policy = _hidden(state.all_params, model_config)
  np.testing.assert_allclose(policy, found, atol=1e-5 if dora else 0)


def test_a_moving_reference_has_adapters_of_its_own(folders):
  config = _config(folders, **{"lora.rank": 4, "reference.sync_every": 2})
  model_config = initial_weights.make_model_config(config)
  reference = references.choose(config, model_config)
  assert reference is not None and reference.config.lora is not None
  mesh = sharding.make_mesh({"fsdp": 1}, jax.devices()[:1])
  state = _state(config, reference, model_config, mesh)
  assert state.reference == {} and state.moving.keys() == state.params.keys()
  np.testing.assert_array_equal(
    _hidden(state.all_reference, reference.config),
    _hidden(state.all_params, model_config),
  )
