# SPDX-License-Identifier: Apache-2.0
"""A config is understood whole or refused by the name of a field."""

import json

import pytest

from ramjax.models import peft_config
from ramjax.models.peft_config import PeftConfig

MODULES = [
  f"model.layers.{layer}.{name}"
  for layer in range(3)
  for name in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj")
] + ["lm_head"]
Q = [f"model.layers.{layer}.self_attn.q_proj" for layer in range(3)]

# What PEFT 0.21 writes, besides the adapters' own fields.
FULL = {
  "alora_invocation_tokens": None,
  "alpha_pattern": {},
  "arrow_config": None,
  "auto_mapping": None,
  "base_model_name_or_path": "meta-llama/Llama-3.2-1B",
  "bias": "none",
  "corda_config": None,
  "ensure_weight_tying": False,
  "eva_config": None,
  "exclude_modules": None,
  "fan_in_fan_out": False,
  "inference_mode": True,
  "init_lora_weights": True,
  "layer_replication": None,
  "layers_pattern": None,
  "layers_to_transform": None,
  "loftq_config": {},
  "lora_alpha": 8,
  "lora_bias": False,
  "lora_dropout": 0.1,
  "megatron_config": None,
  "megatron_core": "megatron.core",
  "modules_to_save": None,
  "peft_type": "LORA",
  "peft_version": "0.21.2",
  "qalora_group_size": 16,
  "r": 4,
  "rank_pattern": {},
  "revision": None,
  "target_modules": ["q_proj"],
  "target_parameters": None,
  "task_type": "CAUSAL_LM",
  "trainable_token_indices": None,
  "use_dora": False,
  "use_qalora": False,
  "use_rslora": False,
}


def _read(folder, **fields):
  (folder / "adapter_config.json").write_text(json.dumps(FULL | fields))
  return peft_config.read(folder, MODULES)


def test_full_config_is_read(tmp_path):
  assert _read(tmp_path) == PeftConfig(
    ranks=dict.fromkeys(Q, 4),
    alphas=dict.fromkeys(Q, 8.0),
    rslora=False,
    dora=False,
    task="CAUSAL_LM",
  )


def test_old_and_short_config_is_read(tmp_path):
  text = '{"peft_type": "LORA", "r": 2, "lora_alpha": 16.5, "target_modules": ["lm_head"]}'
  (tmp_path / "adapter_config.json").write_text(text)
  assert peft_config.read(tmp_path, MODULES) == PeftConfig(
    {"lm_head": 2}, {"lm_head": 16.5}, False, False, None
  )


def test_first_pattern_that_matches_counts(tmp_path):
  found = _read(
    tmp_path,
    rank_pattern={"layers.1.self_attn.q_proj": 2, "q_proj": 3},
    alpha_pattern={r"layers\.[02]\..*": 5},
    use_rslora=True,
    use_dora=True,
  )
  assert list(found.ranks.values()) == [3, 2, 3]
  assert list(found.alphas.values()) == [5, 8, 5]
  assert found.rslora and found.dora


@pytest.mark.parametrize(
  "fields",
  [
    {"init_lora_weights": "gaussian"},
    {"init_lora_weights": False},
    {"init_lora_weights": "eva", "eva_config": {"rho": 2.0}},
    {"inference_mode": False, "revision": "main"},
    {"modules_to_save": ["classifier", "score"], "task_type": "SEQ_CLS"},
    {"a_field_of_the_future": None, "another": 0, "third": []},
    {"task_type": None},
  ],
)
def test_what_changes_nothing_is_accepted(fields, tmp_path):
  assert list(_read(tmp_path, **fields).ranks) == Q


@pytest.mark.parametrize(
  "fields",
  [
    {"bias": "all"},
    {"fan_in_fan_out": True},
    {"lora_bias": True},
    {"use_qalora": True},
    {"target_parameters": ["mlp.experts"]},
    {"trainable_token_indices": [3]},
    {"alora_invocation_tokens": [1]},
    {"modules_to_save": ["lm_head"]},
    {"init_lora_weights": "pissa"},
    {"init_lora_weights": "pissa_niter_4"},
    {"init_lora_weights": "olora"},
    {"init_lora_weights": "corda"},
    {"init_lora_weights": "loftq"},
    {"init_lora_weights": {}},
    {"loftq_config": {"loftq_bits": 4}},
    {"layer_replication": [[0, 2]]},
    {"megatron_config": {"a": 1}},
    {"peft_type": "LOHA"},
    {"peft_type": None},
    {"task_type": "TOKEN_CLS"},
    {"a_field_of_the_future": "on"},
  ],
)
def test_what_is_not_supported_is_refused_by_name(fields, tmp_path):
  with pytest.raises(
    ValueError, match=rf"adapter_config.json: '?{next(iter(fields))}"
  ):
    _read(tmp_path, **fields)


@pytest.mark.parametrize(
  "fields,message",
  [
    ({"r": 0}, "rank 0 of model.layers.0.self_attn.q_proj"),
    ({"r": 2.5}, "rank 2.5"),
    ({"r": "4"}, "r='4' must be a number"),
    ({"r": True}, "r=True must be a number"),
    ({"rank_pattern": {"q_proj": -1}}, "rank -1"),
    ({"rank_pattern": {"q_proj": None}}, "q_proj=None must be a number"),
    ({"rank_pattern": ["q_proj"]}, "rank_pattern=.* must be an object"),
    ({"lora_alpha": 0}, "lora_alpha=0 of"),
    ({"alpha_pattern": {"q_proj": -3}}, "lora_alpha=-3 of"),
    ({"use_dora": "yes"}, "use_dora='yes' must be true or false"),
    ({"modules_to_save": "score"}, "modules_to_save='score' must be a list"),
    ({"target_modules": "(q_proj"}, "not a regular expression"),
  ],
)
def test_values_out_of_range_are_refused(fields, message, tmp_path):
  with pytest.raises(ValueError, match=rf"adapter_config.json: .*{message}"):
    _read(tmp_path, **fields)


@pytest.mark.parametrize("text", ["[]", '{"r": 1, "r": 2}', "{", '{"r": NaN}'])
def test_what_is_no_object_is_refused(text, tmp_path):
  (tmp_path / "adapter_config.json").write_text(text)
  with pytest.raises(ValueError, match=r"adapter_config\.json"):
    peft_config.read(tmp_path, MODULES)


def test_link_out_of_the_folder_is_refused(tmp_path):
  (tmp_path / "adapter").mkdir()
  (tmp_path / "secret.json").write_text(json.dumps(FULL))
  link = tmp_path / "adapter" / "adapter_config.json"
  link.symlink_to(tmp_path / "secret.json")
  with pytest.raises(ValueError, match="outside its folder"):
    peft_config.read(tmp_path / "adapter", MODULES)


@pytest.mark.parametrize(
  "ranks",
  [
    dict.fromkeys(Q, 4),
    {Q[0]: 4, Q[2]: 2},
    dict.fromkeys([*Q[:2], "lm_head"], 3),
    {Q[0]: 1, MODULES[4]: 2, MODULES[8]: 2, "lm_head": 7},
    {name: index + 1 for index, name in enumerate(MODULES)},
  ],
)
def test_made_config_reads_as_what_it_was_made_from(ranks, tmp_path):
  alphas = {name: 2.5 * (rank % 3) + 1 for name, rank in ranks.items()}
  made = peft_config.make(
    ranks,
    alphas,
    num_layers=3,
    rslora=True,
    dora=False,
    task="SEQ_CLS",
    base_name="here",
  )
  (tmp_path / "adapter_config.json").write_text(json.dumps(made))
  found = peft_config.read(tmp_path, MODULES)
  assert found == PeftConfig(ranks, alphas, True, False, "SEQ_CLS")
