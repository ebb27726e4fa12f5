# SPDX-License-Identifier: Apache-2.0
"""PEFT's tensors become our leaves, or are refused by name."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder
from safetensors import numpy as safetensors_numpy
from tiny_adapters import CONFIG

from ramjax.models import partition, peft_adapter
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.models.tensors import TensorError

BASE = tiny_adapters.base_source(CONFIG)
Q = "base_model.model.model.layers.{}.self_attn.q_proj"
A, B = Q + ".lora_A.weight", Q + ".lora_B.weight"
MAGNITUDE = Q + ".lora_magnitude_vector"


def _write(folder, arrays, **fields):
  config = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 6,
    "target_modules": ["q_proj"],
    "layers_to_transform": [0, 2],
    "rank_pattern": {"2.self_attn.q_proj": 3},
  }
  (folder / "adapter_config.json").write_text(json.dumps(config | fields))
  safetensors_numpy.save_file(arrays, folder / "adapter_model.safetensors")


@pytest.fixture
def arrays():
  """Ranks 2 and 3 on the query of layers 0 and 2."""
  rng = np.random.default_rng(8)
  shapes = {
    A.format(0): (2, 32),
    B.format(0): (64, 2),
    A.format(2): (3, 32),
    B.format(2): (64, 3),
  }
  return {
    n: rng.standard_normal(s).astype("float32") for n, s in shapes.items()
  }


def _dora(arrays):
  return arrays | {
    MAGNITUDE.format(i): np.full(64, i + 1, "float32") for i in (0, 2)
  }


def test_layers_are_stacked_and_padded(arrays, tmp_path):
  _write(tmp_path, _dora(arrays), use_dora=True, use_rslora=True)
  config, params = peft_adapter.read(tmp_path, BASE)
  module = LoraModule("attention/query", (2, 0, 3), (6.0, 0.0, 6.0))
  lora = LoraConfig((module,), rslora=True, dora=True)
  assert config == dataclasses.replace(CONFIG, lora=lora)
  query = params["layers"]["attention"]["query"]
  a, b = np.zeros((3, 32, 3)), np.zeros((3, 3, 64))
  a[0, :, :2], a[2] = arrays[A.format(0)].T, arrays[A.format(2)].T
  b[0, :2], b[2] = arrays[B.format(0)].T, arrays[B.format(2)].T
  np.testing.assert_array_equal(query["lora_a"], a)
  np.testing.assert_array_equal(query["lora_b"], b)
  np.testing.assert_array_equal(query["magnitude"][:, 0], [1, 0, 3])
  shapes = partition.trained_shapes(config)
  assert len(shapes) == 3
  for leaf, array in query.items():
    assert array.dtype == np.float32
    assert array.shape == shapes["layers", "attention", "query", leaf]


def test_magnitudes_are_found_under_their_other_name(arrays, tmp_path):
  renamed = {
    name + ".weight" * name.endswith("_vector"): array
    for name, array in _dora(arrays).items()
  }
  _write(tmp_path, renamed, use_dora=True)
  _, params = peft_adapter.read(tmp_path, BASE)
  assert params["layers"]["attention"]["query"]["magnitude"][2, 0] == 3


def test_half_precision_is_widened(arrays, tmp_path):
  halves = {name: x.astype("float16") for name, x in arrays.items()}
  _write(tmp_path, halves)
  _, params = peft_adapter.read(tmp_path, BASE)
  a = params["layers"]["attention"]["query"]["lora_a"]
  assert a.dtype == np.float32
  np.testing.assert_array_equal(a[2], halves[A.format(2)].T.astype("float32"))


@pytest.mark.parametrize("tied", [False, True])
def test_copies_of_the_base_are_left_out(arrays, tied, tmp_path):
  config = dataclasses.replace(CONFIG, tie_embeddings=tied)
  base = tiny_model_folder.RandomModel(config, dtype="bfloat16", seed=0)
  embedding = base.arrays["model.embed_tokens.weight"].astype("float32")
  head = embedding if tied else base.arrays["lm_head.weight"].astype("float32")
  copies = {
    "base_model.model.model.embed_tokens.weight": embedding,
    "base_model.model.lm_head.base_layer.weight": head.copy(),
  }
  _write(tmp_path, arrays | copies)
  _, params = peft_adapter.read(tmp_path, base)
  assert set(params) == {"layers"}
  head[-1, -1] += 1
  _write(tmp_path, arrays | {"base_model.model.lm_head.weight": head})
  with pytest.raises(TensorError, match=r"lm_head.weight' is not the base's"):
    peft_adapter.read(tmp_path, base)
  longer = {"base_model.model.lm_head.weight": np.zeros((80, 32), "float32")}
  _write(tmp_path, arrays | longer)
  with pytest.raises(TensorError, match="vocabulary was resized"):
    peft_adapter.read(tmp_path, base)


def test_score_head_comes_with_a_classifier(arrays, tmp_path):
  score = np.arange(64, dtype="float32").reshape(2, 32)
  with_score = arrays | {"base_model.model.score.weight": score}
  fields = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "score"]}
  _write(tmp_path, with_score, **fields)
  reward = dataclasses.replace(CONFIG, num_labels=2)
  for base in (BASE, tiny_adapters.base_source(reward)):
    config, params = peft_adapter.read(tmp_path, base)
    assert config.num_labels == 2
    np.testing.assert_array_equal(params["score"]["kernel"], score.T)
  # Without one of its own, the base's.
  _write(tmp_path, arrays, **fields)
  config, params = peft_adapter.read(tmp_path, base)
  np.testing.assert_array_equal(
    params["score"]["kernel"], base.arrays["score.weight"].T
  )
  _write(tmp_path, with_score, task_type="CAUSAL_LM")
  with pytest.raises(ValueError, match="'CAUSAL_LM', and the base or the ad"):
    peft_adapter.read(tmp_path, BASE)


@pytest.mark.parametrize("shape", [(2, 31), (2,), (0, 32), (2, 32, 1)])
def test_score_head_of_another_shape_is_refused(arrays, shape, tmp_path):
  score = {"base_model.model.score.weight": np.zeros(shape, "float32")}
  _write(tmp_path, arrays | score)
  with pytest.raises(TensorError, match=r"score.weight' has shape"):
    peft_adapter.read(tmp_path, BASE)


def _change(arrays, name, array):
  changed = {n: x for n, x in arrays.items() if n != name}
  return changed if array is None else changed | {name: array}


@pytest.mark.parametrize(
  "name,array,message",
  [
    (B.format(0), None, "is missing"),
    (A.format(2), None, "is missing"),
    (A.format(0), np.zeros((3, 32)), r"\[3, 32\], and .* \[2, 32\]"),
    (B.format(2), np.zeros((64, 2)), r"\[64, 2\], and .* \[64, 3\]"),
    (B.format(2), np.zeros((3, 64)), r"\[3, 64\], and"),
    (A.format(0), np.zeros((2, 32), "int32"), "is int32; weights must be"),
    (A.format(0), np.full((2, 32), np.nan), "NaN or infinite"),
    (A.format(1), np.zeros((2, 32)), "belongs to no module"),
    (A.format(3), np.zeros((2, 32)), "belongs to no module"),
    (MAGNITUDE.format(0), np.ones(64), "belongs to no module"),
    ("x", np.zeros(()), "belongs to no module"),
    ("base_model.model.lm_head.bias", np.zeros(72), "belongs to no module"),
    (Q.format(0) + ".lora_B.bias", np.zeros(64), "belongs to no module"),
  ],
)
def test_tensor_that_does_not_fit_is_refused_by_name(
  arrays, name, array, message, tmp_path
):
  if array is not None and array.dtype == np.float64:
    array = array.astype("float32")
  _write(tmp_path, _change(arrays, name, array))
  with pytest.raises(TensorError, match=message) as caught:
    peft_adapter.read(tmp_path, BASE)
  assert repr(name) in str(caught.value)


def test_missing_magnitude_is_refused(arrays, tmp_path):
  _write(tmp_path, arrays, use_dora=True)
  with pytest.raises(TensorError, match=r"lora_magnitude_vector' is missing"):
    peft_adapter.read(tmp_path, BASE)


def test_rank_beyond_the_layer_is_refused(arrays, tmp_path):
  _write(tmp_path, arrays, r=65)
  with pytest.raises(ValueError, match=r"rank 65 of .* above the 32 inputs"):
    peft_adapter.read(tmp_path, BASE)


def test_lm_head_of_a_tied_base_is_refused(arrays, tmp_path):
  config = dataclasses.replace(CONFIG, tie_embeddings=True)
  _write(tmp_path, arrays, target_modules=["lm_head"])
  with pytest.raises(ValueError, match="names no linear layer of the base"):
    peft_adapter.read(tmp_path, tiny_adapters.base_source(config))


def test_pickles_are_not_read(arrays, tmp_path):
  _write(tmp_path, arrays)
  (tmp_path / "adapter_model.safetensors").rename(
    tmp_path / "adapter_model.bin"
  )
  with pytest.raises(FileNotFoundError, match="safe_serialization=True"):
    peft_adapter.read(tmp_path, BASE)


def test_links_out_of_the_folder_are_refused(arrays, tmp_path):
  (tmp_path / "adapter").mkdir()
  _write(tmp_path / "adapter", arrays)
  weights = tmp_path / "adapter" / "adapter_model.safetensors"
  weights.rename(tmp_path / "elsewhere.safetensors")
  weights.symlink_to(tmp_path / "elsewhere.safetensors")
  with pytest.raises(ValueError, match="outside its folder"):
    peft_adapter.read(tmp_path / "adapter", BASE)
