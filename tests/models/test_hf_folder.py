# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face folder is read as its config says, or refused by tensor."""

import dataclasses

import numpy as np
import pytest

from ramjax.models import hf_names, tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.models.tensors import TensorError

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture
def write(tiny, shapes, tmp_path):
  """Writes a folder; `state` may be anything."""

  def build(name, state, **fields):
    return tiny.write_hf(tmp_path / "theirs", shapes[name], state, **fields)

  return build


def _refusal(folder):
  with pytest.raises(TensorError) as caught:
    HFFolder(folder)
  assert str(caught.value).startswith(str(folder))
  return str(caught.value)


def test_every_shape_reads_back(tiny, shapes, state_of, tmp_path):
  for name, config in shapes.items():
    state = state_of(name)
    folder = HFFolder(tiny.write_hf(tmp_path / name, config, state))
    assert folder.config == config and folder.path == tmp_path / name
    assert list(folder.specs) == list(hf_names.hf_shapes(config))
    for key, spec in folder.specs.items():
      rows = folder.rows(key, 0, spec.shape[0])
      np.testing.assert_array_equal(rows, state[key], strict=True)
      assert not rows.flags.writeable
    folder.close()


def test_rows_are_those_asked_for(write, state_of):
  state = state_of("3")
  folder = HFFolder(write("3", state))
  np.testing.assert_array_equal(folder.rows(_UP, 5, 9), state[_UP][5:9])


def test_dtypes_may_differ_from_tensor_to_tensor(write, state_of):
  state = state_of("3")
  state[_UP] = state[_UP].astype("bfloat16")
  folder = HFFolder(write("3", state))
  assert folder.specs[_UP].dtype == "bfloat16"
  assert folder.specs[_EMBEDDING].dtype == "float32"


def test_missing_tensor_is_refused_by_name(write, state_of):
  state = state_of("3")
  del state[_UP]
  message = _refusal(write("3", state))
  assert f"tensor '{_UP}' is missing: config.json" in message
  del state["model.norm.weight"]
  assert "is missing, and 1 more" in _refusal(write("3", state))


def test_unexpected_tensor_is_refused_by_name(write, state_of):
  name = "model.layers.0.self_attn.q_norm.weight"
  state = state_of("3") | {name: np.ones(16, np.float32)}
  assert f"tensor '{name}' is not part of the model" in _refusal(
    write("3", state)
  )


@pytest.mark.parametrize("shape", [(32, 48), (48, 31), (48,), (), (48, 0)])
def test_other_shape_is_refused_by_name(write, state_of, shape):
  state = state_of("3") | {_UP: np.ones(shape, np.float32)}
  assert (
    f"tensor '{_UP}' has shape {list(shape)}, and config.json makes it [48, 32]"
  ) in _refusal(write("3", state))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float64", "int64"])
def test_other_dtype_is_refused_by_name(write, state_of, dtype):
  state = state_of("3") | {_UP: np.ones((48, 32), dtype)}
  assert f"tensor '{_UP}' is {dtype}; weights must be" in _refusal(
    write("3", state)
  )


def test_bias_of_a_model_without_any_is_unexpected(write, state_of):
  message = _refusal(write("3_2", state_of("qwen2")))
  assert "k_proj.bias' is not part of the model" in message


def test_tied_head_that_equals_the_embedding_is_dropped(
  write, state_of, monkeypatch
):
  state = state_of("3_2")
  # Several blocks are compared.
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1000)
  folder = HFFolder(write("3_2", state | {_HEAD: state[_EMBEDDING]}))
  assert _HEAD not in folder.specs


@pytest.mark.parametrize("row", [0, 63])
def test_tied_head_that_differs_in_one_value_is_refused(
  write, state_of, row, monkeypatch
):
  state = state_of("3_2")
  head = state[_EMBEDDING].copy()
  head[row, -1] += 1
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 1000)
  message = _refusal(write("3_2", state | {_HEAD: head}))
  assert "tie_word_embeddings=true" in message and repr(_HEAD) in message


@pytest.mark.parametrize("shape", [(), (0, 32), (63, 32)])
def test_tied_head_of_another_shape_is_refused(write, state_of, shape):
  state = state_of("3_2") | {_HEAD: np.ones(shape, np.float32)}
  assert "tie_word_embeddings=true" in _refusal(write("3_2", state))


@pytest.mark.parametrize("shape", [(), (0, 32)])
def test_empty_tied_embedding_and_head_are_refused(write, state_of, shape):
  empty = np.ones(shape, np.float32)
  state = state_of("3_2") | {_HEAD: empty, _EMBEDDING: empty}
  assert f"'{_EMBEDDING}' has shape" in _refusal(write("3_2", state))


@pytest.mark.parametrize("name", ["llama_reward", "qwen2_reward"])
def test_lm_head_beside_a_score_head_is_unexpected(write, state_of, name):
  state = state_of(name)
  # Also where it equals the embedding.
  message = _refusal(write(name, state | {_HEAD: state[_EMBEDDING]}))
  assert f"tensor '{_HEAD}' is not part of the model" in message


def test_rotary_tables_of_old_releases_are_dropped(write, state_of):
  name = "model.layers.{}.self_attn.rotary_emb.inv_freq"
  tables = {name.format(i): np.ones(8, np.float32) for i in range(2)}
  folder = HFFolder(write("1", state_of("1") | tables))
  assert not set(tables) & set(folder.specs)


def test_only_rotary_tables_are_dropped(write, state_of):
  name = "model.layers.0.self_attn.rotary_emb.inv_freq.weight"
  state = state_of("1") | {name: np.ones(8, np.float32)}
  assert "is not part of the model" in _refusal(write("1", state))


def test_config_without_tensors_is_refused(tiny, shapes, state_of, tmp_path):
  folder = tiny.write_hf(tmp_path / "theirs", shapes["3"], state_of("3"))
  (folder / "model.safetensors").unlink()
  with pytest.raises(FileNotFoundError):
    HFFolder(folder)


def test_config_is_checked_before_the_tensors(tiny, shapes, tmp_path):
  config = dataclasses.replace(shapes["3"], num_layers=1)
  folder = tiny.write_hf(
    tmp_path / "theirs", config, {}, auto_map={"AutoModel": "theirs.Model"}
  )
  with pytest.raises(ValueError, match=r"config\.json: auto_map names Python"):
    HFFolder(folder)


def test_closed_folder_is_not_read(write, state_of):
  folder = HFFolder(write("3", state_of("3")))
  folder.close()
  with pytest.raises(TensorError, match="was closed"):
    folder.rows(_UP, 0, 1)
