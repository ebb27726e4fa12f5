# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert from-meta` from files of PyTorch to a folder."""

import base64
import json
import pathlib

import numpy as np
import pytest

from ramjax.data import train_tokenizer
from ramjax.models import hf_config, meta_checkpoint
from ramjax.models.open_model import open_model
from ramjax.tools import convert

_PARAMS = {
  "dim": 32,
  "n_layers": 2,
  "n_heads": 4,
  "n_kv_heads": 2,
  "vocab_size": -1,
  "multiple_of": 8,  # int(2 * 128 / 3) = 85, so the MLP is 88 wide.
  "norm_eps": 1e-5,
}
_VOCAB = 400


def _shapes():
  shapes = {"tok_embeddings.weight": (_VOCAB, 32), "norm.weight": (32,)}
  for i in range(2):
    layer = {
      "attention.wq": (32, 32),
      "attention.wk": (16, 32),
      "attention.wv": (16, 32),
      "attention.wo": (32, 32),
      "feed_forward.w1": (88, 32),
      "feed_forward.w2": (32, 88),
      "feed_forward.w3": (88, 32),
      "attention_norm": (32,),
      "ffn_norm": (32,),
    }
    for name, shape in layer.items():
      shapes[f"layers.{i}.{name}.weight"] = shape
  return shapes | {"output.weight": (_VOCAB, 32)}


def _weights():
  rng = np.random.default_rng(0)
  return {
    name: (0.3 * rng.normal(size=shape)).astype(np.float32)
    for name, shape in _shapes().items()
  }


@pytest.fixture(scope="module")
def tokenizer_model(tmp_path_factory) -> pathlib.Path:
  path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
  corpus = ["The quick brown fox jumps over the lazy dog, 1234567890."] * 20
  train_tokenizer.train_sentencepiece(corpus, path=path, vocab_size=310)
  return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> pathlib.Path:
  """A checkpoint whose one file is read without PyTorch."""
  path = tmp_path / "meta"
  path.mkdir()
  (path / "params.json").write_text(json.dumps(_PARAMS))
  (path / "consolidated.00.pth").touch()
  (path / "LICENSE").write_text("for tests")
  load = meta_checkpoint.MetaCheckpoint.__init__.__kwdefaults__
  monkeypatch.setitem(load, "load_shard", lambda file: _weights())
  return path


def _run(*argv, status=0):
  assert convert.main(["from-meta", *map(str, argv)]) == status


def test_no_pth_is_opened_unless_it_is_allowed(
  tmp_path, folder, capsys, monkeypatch
):
  def refuse(file):
    raise AssertionError("opened")

  load = meta_checkpoint.MetaCheckpoint.__init__.__kwdefaults__
  monkeypatch.setitem(load, "load_shard", refuse)
  _run(folder, tmp_path / "out", status=1)
  error = capsys.readouterr().err
  assert "pickles" in error and "--allow-pickle" in error
  assert not (tmp_path / "out").exists()


def test_tokenizer_and_licence_are_carried_along(
  tmp_path, folder, tokenizer_model, capsys
):
  (folder / "tokenizer.model").write_bytes(tokenizer_model.read_bytes())
  target = tmp_path / "out"
  _run(folder, target, "--allow-pickle", "--dtype=bfloat16")
  kept = target / "hf"
  assert (kept / "LICENSE").read_text() == "for tests"
  copied = (kept / "tokenizer.model").read_bytes()
  assert copied == tokenizer_model.read_bytes()
  raw = json.loads((kept / "config.json").read_text())
  assert (raw["bos_token_id"], raw["eos_token_id"]) == (1, 2)
  source = open_model(target)
  path = kept / "config.json"
  assert hf_config.from_hf(raw, path=path) == source.config
  assert source.config.max_positions == 2048
  assert {spec.dtype for spec in source.specs.values()} == {"bfloat16"}
  error = capsys.readouterr().err
  assert "no released Llama has this shape" in error and "2,048" in error
  provenance = json.loads((target / "provenance.json").read_text())
  assert provenance["command"] == "convert from-meta"
  assert provenance["release"] is None


def test_a_tiktoken_file_is_copied_with_advice(
  tmp_path, folder, tokenizer_model, capsys
):
  lines = [
    base64.b64encode(word) + b" %d\n" % i for i, word in enumerate([b"!", b"a"])
  ]
  (folder / "tokenizer.model").write_bytes(b"".join(lines))
  _run(folder, tmp_path / "out", "--allow-pickle", "--to=hf")
  assert "--tokenizer=DIR" in capsys.readouterr().err
  copied = (tmp_path / "out" / "tokenizer.model").read_bytes()
  assert copied == b"".join(lines)
  # Another folder's tokenizer takes its place.
  other = tokenizer_model.parent
  _run(
    folder, tmp_path / "two", "--allow-pickle", "--to=hf", "--tokenizer", other
  )
  assert "--tokenizer" not in capsys.readouterr().err
  copied = (tmp_path / "two" / "tokenizer.model").read_bytes()
  assert copied == tokenizer_model.read_bytes()


def test_a_missing_tokenizer_is_told(tmp_path, folder, capsys):
  _run(folder, tmp_path / "out", "--allow-pickle", "--max-positions=64")
  error = capsys.readouterr().err
  assert "has no tokenizer.model" in error and "64 positions" in error
  assert open_model(tmp_path / "out").config.max_positions == 64


def test_another_models_tokenizer_is_refused(
  tmp_path, folder, tokenizer_model, capsys, monkeypatch
):
  few = _weights()
  for name in ("tok_embeddings.weight", "output.weight"):
    few[name] = few[name][:100]
  load = meta_checkpoint.MetaCheckpoint.__init__.__kwdefaults__
  monkeypatch.setitem(load, "load_shard", lambda file: few)
  (folder / "tokenizer.model").write_bytes(tokenizer_model.read_bytes())
  _run(folder, tmp_path / "out", "--allow-pickle", status=1)
  assert "310 tokens and the model 100" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def _meta_logits(weights, tokens):
  """Meta's forward pass in NumPy, float64, with interleaved RoPE."""
  w = {name: array.astype(np.float64) for name, array in weights.items()}
  length, head_dim = len(tokens), 8

  def norm(x, scale):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-5) * scale

  turns = np.exp(
    1j * np.outer(np.arange(length), 1e4 ** -(np.arange(0, 8, 2) / 8))
  )

  def rope(x):  # [T, N, H]
    pairs = x.reshape(length, -1, head_dim // 2, 2)
    turned = (pairs[..., 0] + 1j * pairs[..., 1]) * turns[:, None]
    return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

  x = w["tok_embeddings.weight"][tokens]
  future = np.triu(np.full((length, length), -np.inf), 1)
  for i in range(2):
    p = {
      n.removeprefix(f"layers.{i}.").removesuffix(".weight"): a
      for n, a in w.items()
    }
    h = norm(x, p["attention_norm"])
    q = rope((h @ p["attention.wq"].T).reshape(length, 4, head_dim))
    k = rope((h @ p["attention.wk"].T).reshape(length, 2, head_dim))
    v = (h @ p["attention.wv"].T).reshape(length, 2, head_dim)
    k, v = np.repeat(k, 2, axis=1), np.repeat(v, 2, axis=1)
    scores = np.einsum("tnh,snh->nts", q, k) / np.sqrt(head_dim) + future
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores /= scores.sum(-1, keepdims=True)
    attended = np.einsum("nts,snh->tnh", scores, v).reshape(length, -1)
    x = x + attended @ p["attention.wo"].T
    h = norm(x, p["ffn_norm"])
    gate = h @ p["feed_forward.w1"].T
    up = h @ p["feed_forward.w3"].T
    x = x + (gate / (1 + np.exp(-gate)) * up) @ p["feed_forward.w2"].T
  return norm(x, w["norm.weight"]) @ w["output.weight"].T


@pytest.mark.peers
@pytest.mark.parametrize("num_shards", [1, 2])
def test_transformers_computes_what_metas_code_would(tmp_path, num_shards):
  torch = pytest.importorskip("torch")
  transformers = pytest.importorskip("transformers")
  folder = tmp_path / "meta"
  folder.mkdir()
  (folder / "params.json").write_text(json.dumps(_PARAMS))
  weights = _weights()
  columns = ("wo.weight", "w2.weight", "tok_embeddings.weight")
  for i in range(num_shards):
    shard = {}
    for name, array in weights.items():
      if array.ndim == 2:
        axis = 1 if name.endswith(columns) else 0
        array = np.split(array, num_shards, axis=axis)[i]
      shard[name] = torch.from_numpy(array.copy())
    torch.save(shard, folder / f"consolidated.{i:02d}.pth")
  target = tmp_path / "out"
  _run(folder, target, "--allow-pickle", "--to=hf")
  model = transformers.AutoModelForCausalLM.from_pretrained(target)
  tokens = np.random.default_rng(1).integers(_VOCAB, size=9)
  with torch.no_grad():
    logits = model(torch.from_numpy(tokens)[None]).logits[0].numpy()
  expected = _meta_logits(weights, tokens)
  np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4)
