# SPDX-License-Identifier: Apache-2.0
"""A run as shapes: those that a real run's state and batches have."""

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from ramjax.configs import base, sizes
from ramjax.models import llama, sharding
from ramjax.trainers import abstract_batch, abstract_run, from_config
from ramjax.trainers.state import init_state


def _config(name: str) -> Any:
  return importlib.import_module(f"ramjax.configs.{name}").get_config()


def _described(tree: Any) -> Any:
  return jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), tree)


def _changed(config: Any, **fields: Any) -> Any:
  for name, value in fields.items():
    group, field = name.split("__")
    config[group][field] = value
  return config


@pytest.mark.parametrize(
  "config",
  [
    pytest.param(_config("sft_tiny_alpaca"), marks=pytest.mark.slow),
    _changed(_config("dpo_tiny"), optim__ema_decay=0.9),
    _changed(_config("dpo_tiny"), reference__sync_every=2),
    _changed(_config("kto_tiny"), optim__max_skipped=3),
    pytest.param(
      _changed(_config("dpo_tiny"), model__dtype="bfloat16"),
      marks=pytest.mark.slow,
    ),
  ],
  ids=["sft", "average", "moving", "carried", "bfloat16"],
)
def test_the_state_is_as_a_real_one(config):
  config.mesh.update(data=1, fsdp=4, tensor=2)
  found = abstract_run.describe_run(config, jax.devices())
  params = llama.init_params(found.model_config, jax.random.key(0), found.mesh)
  reference: Any = {}
  if found.reference_config is not None and not config.reference.sync_every:
    dtype = found.reference_config.dtype
    reference = jax.tree.map(lambda x: x.astype(dtype), params)
  skip = from_config.make_skip_rule(config)
  state = init_state(
    params,
    from_config.make_optimizer(config, from_config.make_learning_rate(config)),
    mesh=found.mesh,
    seed=0,
    with_ema=config.optim.ema_decay > 0,
    reference=reference,
    moving_reference="reference" in config and config.reference.sync_every > 0,
    carried={name: 0.0 for name in found.state.carried},
    skips={} if skip is None else skip.initial(),
  )
  assert _described(found.state) == _described(state)


def test_the_step_traces_and_gives_back_what_it_takes():
  found = abstract_run.describe_run(_config("dpo_tiny"), jax.devices()[:1])
  new_state, metrics = found.trace().out_info
  assert jax.tree.map(lambda x: x.shape, new_state) == jax.tree.map(
    lambda x: x.shape, found.state
  )
  assert metrics["loss"].total.dtype == jnp.float32


def test_a_batch_of_tokens_is_rows_by_length():
  config = base.sft()
  config.data.batch_size, config.data.max_length = 6, 40
  batch = abstract_batch.abstract_batch(config)
  assert {leaf.shape for leaf in jax.tree.leaves(batch)} == {(6, 40)}


def test_groups_have_the_row_length_or_that_of_their_answers():
  config = sizes.tiny(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  batch = abstract_batch.abstract_batch(config)
  assert batch.tokens.shape == (8, 2 * 128)
  # A place for a group in every 16 tokens, and two answers in each.
  assert batch.features["present"].shape == (8, 16, 2)
  config.data.row_length = 64
  assert abstract_batch.abstract_batch(config).tokens.shape == (8, 64)


def test_a_cached_reference_is_an_array_of_the_batch_and_no_model():
  config = sizes.tiny(base.preference(dpo=dict(weight=1.0, beta=0.1)))
  config.reference.cache = "cache"
  found = abstract_run.describe_run(config, jax.devices()[:1])
  assert found.batch.features["ref_logps"].shape == (8, 16, 2)
  assert found.reference_config is None and found.state.reference == {}
  found.trace()


def test_a_model_that_is_not_here_has_the_presets_shape():
  config = _config("dpo_llama3_1_8b")
  mesh = sharding.make_mesh({"fsdp": 8})
  found = abstract_run.describe_run(config, mesh.devices.ravel().tolist())
  assert found.missing == ["init.from_hf='Llama-3.1-8B-Instruct'"]
  assert found.model_config.num_parameters == 8_030_261_248
  # The caller's config is as it was.
  assert config.init.from_hf == "Llama-3.1-8B-Instruct"


def test_adapters_of_a_model_that_is_not_here_are_planned():
  config = _config("sft_llama3_1_8b")
  config.lora.rank = 16
  found = abstract_run.describe_run(config, jax.devices())
  kernel = found.state.frozen["layers"]["mlp"]["up"]["kernel"]
  assert kernel.dtype == jnp.bfloat16
  trained = sum(leaf.size for leaf in jax.tree.leaves(found.state.params))
  assert trained < 1e8


def test_a_missing_model_without_a_preset_is_refused():
  config = _config("dpo_llama3_1_8b")
  config.model.preset = ""
  with pytest.raises(
    ValueError, match=r"not a folder here, and model\.preset=''"
  ):
    abstract_run.describe_run(config, jax.devices())


def test_ppo_trains_a_critic_beside_the_policy():
  config = _config("ppo_tiny")
  found = abstract_run.describe_run(config, jax.devices()[:1])
  assert found.critic_config is not None
  assert found.critic_config.num_labels == 1
  # Its reference is asked when answers are sampled, and lies beside it.
  assert found.reference_config is None and found.state.reference
  assert found.batch.tokens.shape == (16, 128)
