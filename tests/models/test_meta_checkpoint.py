# SPDX-License-Identifier: Apache-2.0
"""A folder of Meta's as a source: names, refusals, and files of PyTorch."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

from ramjax.models import hf_names, meta_checkpoint, meta_shards
from ramjax.models.meta_checkpoint import MetaCheckpoint
from ramjax.models.tensors import TensorError

_PARAMS = {
  "dim": 32,
  "n_layers": 2,
  "n_heads": 4,
  "n_kv_heads": 2,
  "vocab_size": 40,
  "multiple_of": 8,  # int(2 * 128 / 3) = 85, so the MLP is 88 wide.
  "norm_eps": 1e-5,
  "rope_theta": 500_000.0,
}
_SHAPES = {
  "tok_embeddings.weight": (40, 32),
  **{
    f"layers.{i}.{name}": shape
    for i in range(2)
    for name, shape in {
      "attention.wq.weight": (32, 32),
      "attention.wk.weight": (16, 32),
      "attention.wv.weight": (16, 32),
      "attention.wo.weight": (32, 32),
      "feed_forward.w1.weight": (88, 32),
      "feed_forward.w2.weight": (32, 88),
      "feed_forward.w3.weight": (88, 32),
      "attention_norm.weight": (32,),
      "ffn_norm.weight": (32,),
    }.items()
  },
  "norm.weight": (32,),
  "output.weight": (40, 32),
}
_COLUMNS = ("attention.wo.weight", "feed_forward.w2.weight")


def weights(dtype="float32"):
  """Meta's tensors of one small model, whole."""
  rng = np.random.default_rng(0)
  return {
    name: rng.normal(size=shape).astype(dtype)
    for name, shape in _SHAPES.items()
  }


def split(whole, num_shards):
  """The shards in which Llama 3 would store them."""
  shards = [{} for _ in range(num_shards)]
  for name, array in whole.items():
    axis = 1 if name.endswith(_COLUMNS) else 0
    parts = np.split(array, num_shards, axis=axis) if array.ndim == 2 else ()
    for i, shard in enumerate(shards):
      shard[name] = parts[i] if parts else array
  return shards


def write_folder(path: pathlib.Path, shards, **params):
  """`params.json`, and empty files in the shards' place."""
  path.mkdir(exist_ok=True)
  (path / "params.json").write_text(json.dumps(_PARAMS | params))
  for i in range(len(shards)):
    (path / f"consolidated.{i:02d}.pth").touch()
  return lambda file: shards[int(file.name.split(".")[1])]


def _open(path, shards, params=None, **given):
  load = write_folder(path, shards, **(params or {}))
  return MetaCheckpoint(path, load_shard=load, **given)


def _all(source):
  return {n: source.rows(n, 0, s.shape[0]) for n, s in source.specs.items()}


@pytest.mark.parametrize("num_shards", [1, 2, 4])
def test_shards_give_the_whole_model(tmp_path, num_shards):
  whole = weights()
  source = _open(tmp_path, split(whole, num_shards))
  assert {n: s.shape for n, s in source.specs.items()} == hf_names.hf_shapes(
    source.config
  )
  found = _all(source)
  for i in range(2):
    meta, hf = f"layers.{i}.", f"model.layers.{i}."
    for theirs, ours in {
      "attention.wv": "self_attn.v_proj",
      "attention.wo": "self_attn.o_proj",
      "feed_forward.w1": "mlp.gate_proj",
      "feed_forward.w2": "mlp.down_proj",
      "feed_forward.w3": "mlp.up_proj",
      "attention_norm": "input_layernorm",
      "ffn_norm": "post_attention_layernorm",
    }.items():
      array = found[f"{hf}{ours}.weight"]
      np.testing.assert_array_equal(array, whole[f"{meta}{theirs}.weight"])
    for theirs, ours in {"wq": "q_proj", "wk": "k_proj"}.items():
      array = whole[f"{meta}attention.{theirs}.weight"]
      np.testing.assert_array_equal(
        found[f"{hf}self_attn.{ours}.weight"], meta_shards.in_halves(array, 8)
      )
  for theirs, ours in {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
  }.items():
    array = found[f"{ours}.weight"]
    np.testing.assert_array_equal(array, whole[f"{theirs}.weight"])


def test_the_table_of_rope_is_dropped_and_dtypes_are_kept(tmp_path):
  whole = weights("bfloat16") | {"rope.freqs": np.ones(4, np.float32)}
  source = _open(tmp_path, [whole])
  assert {spec.dtype for spec in source.specs.values()} == {"bfloat16"}
  assert source.release is None and source.config.max_positions == 2048


def test_a_tied_head_is_dropped_if_it_is_the_embedding(tmp_path):
  whole = weights()
  params, release = {"use_scaled_rope": True}, "llama3_2_1b"
  with pytest.raises(TensorError, match="the release ties the two"):
    _open(tmp_path, split(whole, 2), params, release=release)
  whole["output.weight"] = whole["tok_embeddings.weight"]
  source = _open(tmp_path, split(whole, 2), params, release=release)
  assert source.config.tie_embeddings and "lm_head.weight" not in source.specs
  del whole["output.weight"]
  source = _open(tmp_path, split(whole, 2), params, release=release)
  assert source.config.rope_scaling.factor == 32


def test_unknown_and_missing_tensors_are_refused_by_name(tmp_path):
  whole = weights() | {"layers.0.attention.q_norm.weight": np.ones(8)}
  with pytest.raises(TensorError, match=r"'layers\.0\.attention\.q_norm"):
    _open(tmp_path, [whole])
  whole = weights()
  del whole["layers.1.ffn_norm.weight"]
  with pytest.raises(TensorError, match=r"'layers\.1\.ffn_norm\.weight' is"):
    _open(tmp_path, [whole])
  with pytest.raises(TensorError, match=r"'tok_embeddings\.weight' is missing"):
    _open(tmp_path, [{}])
  with pytest.raises(TensorError, match=r"'layers\.1\.attention\.wk\.weight'"):
    _open(tmp_path, [weights()], {"n_layers": 1})


def test_a_missing_shard_is_noticed(tmp_path):
  with pytest.raises(FileNotFoundError, match=r"consolidated\.00\.pth does"):
    _open(tmp_path, [])
  shards = split(weights(), 4)
  write_folder(tmp_path, shards)
  (tmp_path / "consolidated.02.pth").unlink()
  with pytest.raises(FileNotFoundError, match=r"consolidated\.02\.pth does"):
    meta_checkpoint.shard_files(tmp_path)
  last = tmp_path / "last"
  with pytest.raises(ValueError, match="the tensors make it 66"):
    _open(last, shards[:3], {"vocab_size": -1})


def test_a_shard_outside_the_folder_is_not_opened(tmp_path):
  outside = tmp_path / "outside.pth"
  outside.touch()
  folder = tmp_path / "model"
  load = write_folder(folder, [])
  (folder / "consolidated.00.pth").symlink_to(outside)
  with pytest.raises(ValueError, match="outside its folder"):
    MetaCheckpoint(folder, load_shard=load)


def test_shards_of_two_models_are_refused_on_reading(tmp_path):
  shards = split(weights(), 2)
  shards[1]["norm.weight"] = shards[1]["norm.weight"] + 1
  source = _open(tmp_path, shards)
  with pytest.raises(TensorError, match=r"'norm\.weight' must be the same"):
    source.rows("model.norm.weight", 0, 32)


@pytest.mark.peers
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_files_of_pytorch_are_mapped(tmp_path, dtype):
  torch = pytest.importorskip("torch")
  whole = {n: torch.from_numpy(a) for n, a in weights().items()}
  whole = {n: a.to(getattr(torch, dtype)) for n, a in whole.items()}
  path = tmp_path / "consolidated.00.pth"
  torch.save(whole, path)
  found = meta_checkpoint.load_pth(path)
  assert found.keys() == whole.keys()
  for name, array in found.items():
    assert str(array.dtype) == dtype and not array.flags.writeable
    np.testing.assert_array_equal(
      array.astype(np.float32), whole[name].to(torch.float32).numpy()
    )
  (tmp_path / "params.json").write_text(json.dumps(_PARAMS))
  source = MetaCheckpoint(tmp_path)
  assert source.rows("lm_head.weight", 3, 5).dtype == dtype


class _Malicious:
  """What a pickle can do: on loading it calls a function of its choice."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return os.mkdir, (str(self.path),)


@pytest.mark.peers
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
  torch = pytest.importorskip("torch")
  path, ran = tmp_path / "consolidated.00.pth", tmp_path / "ran"
  torch.save({"norm.weight": _Malicious(ran)}, path)
  with pytest.raises(TensorError, match=r"asks for '\w+\.mkdir'") as caught:
    meta_checkpoint.load_pth(path)
  assert str(path) in str(caught.value) and "False" not in str(caught.value)
  assert not ran.exists()
  # The file does what it says where it is loaded without protection.
  torch.load(path, weights_only=False)
  assert ran.is_dir()


@pytest.mark.peers
def test_what_is_no_plain_tensor_is_refused(tmp_path):
  torch = pytest.importorskip("torch")
  path = tmp_path / "consolidated.00.pth"
  for held, message in [
    ([torch.ones(2)], "holds a list"),
    ({"step": 3}, "entry 'step' is a int"),
    ({"w": torch.ones(2, dtype=torch.int8)}, "'w' is int8"),
    ({"w": torch.ones(2, 2).to_sparse()}, "torch.sparse_coo"),
    ({"w": torch.ones(2, device="meta")}, "on meta"),
  ]:
    torch.save(held, path)
    with pytest.raises(TensorError, match=message):
      meta_checkpoint.load_pth(path)
  path.write_bytes(b"no file of PyTorch")
  with pytest.raises(TensorError, match="it is damaged"):
    meta_checkpoint.load_pth(path)
  torch.save({}, path, _use_new_zipfile_serialization=False)
  with pytest.raises(TensorError, match=r"PyTorch 1\.6"):
    meta_checkpoint.load_pth(path)


@pytest.mark.peers
def test_a_pytorch_whose_protection_has_a_hole_is_refused(
  tmp_path, monkeypatch
):
  torch = pytest.importorskip("torch")
  monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
  with pytest.raises(ValueError, match="CVE-2025-32434"):
    meta_checkpoint.load_pth(tmp_path / "consolidated.00.pth")


def test_without_pytorch_the_message_says_what_to_install(
  tmp_path, monkeypatch
):
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(ValueError, match="pip install torch"):
    meta_checkpoint.load_pth(tmp_path / "consolidated.00.pth")
