# SPDX-License-Identifier: Apache-2.0
"""Tests of our weights under Hugging Face's names."""

import json

import numpy as np
import pytest

from ramjax.models import presets
from ramjax.models.config import LlamaConfig
from ramjax.tools import bench_trl_inputs

SHAPE = LlamaConfig(
  vocab_size=10,
  width=4,
  mlp_width=6,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=2,
)


def test_weights_are_transposed_and_unstacked():
  kernel = np.arange(2 * 3 * 4).reshape(2, 3, 4)
  scale = np.arange(6).reshape(2, 3)
  weights: dict[str, np.ndarray] = {
    f"layers/{name}": scale if name.endswith("scale") else kernel
    for name in bench_trl_inputs._LAYER_NAMES
  }
  weights["embed/embedding"] = np.ones((5, 3))
  weights["final_norm/scale"] = np.full(3, 2.0)
  named = bench_trl_inputs.hf_weights(weights)
  assert len(named) == 3 + 2 * 9
  up = named["model.layers.1.mlp.up_proj.weight"]
  assert up.shape == (4, 3) and up[3, 0] == kernel[1, 0, 3]
  norm = named["model.layers.0.input_layernorm.weight"]
  assert norm.tolist() == [0, 1, 2]
  # Tied: the head is the embedding.
  assert named["lm_head.weight"].shape == (5, 3)
  untied = dict(weights, **{"lm_head/kernel": np.zeros((3, 5))})
  assert not bench_trl_inputs.hf_weights(untied)["lm_head.weight"].any()


@pytest.mark.peers
def test_a_released_shape_is_theirs():
  transformers = pytest.importorskip("transformers")
  shape = presets.llama_config("llama3_2_1b")
  fields = json.loads(json.dumps(bench_trl_inputs.hf_fields(shape)))
  config = transformers.LlamaConfig.from_dict(fields)
  assert config.tie_word_embeddings and config.head_dim == 64
  rope = config.rope_parameters
  assert (rope["rope_type"], rope["factor"]) == ("llama3", 32.0)
  assert rope["rope_theta"] == 500_000.0
  assert config.pad_token_id == 3


@pytest.mark.peers
def test_weights_fit_a_llama_of_transformers(tmp_path):
  pytest.importorskip("transformers")
  import jax

  from ramjax.models import llama

  params = llama.init_params(SHAPE, jax.random.key(0))
  leaves, _ = jax.tree_util.tree_flatten_with_path(params)
  named = {
    jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
    for path, leaf in leaves
  }
  np.savez(tmp_path / "weights.npz", allow_pickle=False, **named)
  spec = dict(folder=str(tmp_path), hf_config=bench_trl_inputs.hf_fields(SHAPE))
  model = bench_trl_inputs.make_model(spec)
  num_parameters = sum(p.numel() for p in model.parameters())
  assert num_parameters == SHAPE.num_parameters
