# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert vocab` from folder to folder."""

import json
import pathlib

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ramjax.data import tokenizers
from ramjax.models import hf_config, hf_names
from ramjax.models.config import LlamaConfig
from ramjax.models.open_model import open_model
from ramjax.tools import convert, convert_vocab

_WORDS = ["hello", "world", "tool"]


def _write_tokenizer(folder: pathlib.Path) -> int:
  """A tokenizer of bytes, with BOS and EOS; returns its size."""
  import tokenizers as library
  from tokenizers import decoders, models, pre_tokenizers, trainers

  tokenizer = library.Tokenizer(models.BPE())
  tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(
    add_prefix_space=False, use_regex=False
  )
  tokenizer.decoder = decoders.ByteLevel()
  alphabet = pre_tokenizers.ByteLevel.alphabet()
  trainer = trainers.BpeTrainer(
    initial_alphabet=alphabet, vocab_size=262, show_progress=False
  )
  tokenizer.train_from_iterator(_WORDS, trainer)
  tokenizer.add_special_tokens(["<s>", "</s>"])
  tokenizer.save(str(folder / "tokenizer.json"))
  config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}
  config |= {"eos_token": "</s>", "added_tokens_decoder": {}}
  (folder / "tokenizer_config.json").write_text(json.dumps(config))
  return tokenizer.get_vocab_size()


def _write_model(
  folder: pathlib.Path, *, tied=False, padding=0, with_tokenizer=True
) -> LlamaConfig:
  folder.mkdir()
  num_tokens = _write_tokenizer(folder)
  if not with_tokenizer:
    (folder / "tokenizer.json").unlink()
  config = LlamaConfig(
    vocab_size=num_tokens + padding,
    width=16,
    mlp_width=24,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=4,
    tie_embeddings=tied,
  )
  rng = np.random.default_rng(0)
  state = {
    name: rng.normal(size=shape).astype(np.float32)
    for name, shape in hf_names.hf_shapes(config).items()
  }
  raw = hf_config.to_hf(config, dtype="float32", carried={"bos_token_id": 3})
  (folder / "config.json").write_text(json.dumps(raw))
  safetensors_numpy.save_file(
    state, folder / "model.safetensors", metadata={"format": "pt"}
  )
  return config


def _arrays(folder):
  source = open_model(folder)
  return {n: source.rows(n, 0, s.shape[0]) for n, s in source.specs.items()}


def _run(*argv, status=0):
  assert convert.main(["vocab", *map(str, argv)]) == status


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["hf", "ramjax"])
def test_added_tokens_have_ids_and_rows(tmp_path, capsys, kind, tied):
  source = tmp_path / "model"
  config = _write_model(source, tied=tied)
  if kind == "ramjax":
    hf, source = source, tmp_path / "run"
    assert convert.main(["from-hf", str(hf), str(source)]) == 0
  size = config.vocab_size
  target = tmp_path / "larger"
  _run(
    source,
    target,
    "--add-token=<|tool|>",
    "--add-token=<|end|>",
    "--pad-to-multiple=16",
  )
  carried = target / "hf" if kind == "ramjax" else target
  assert (target / "model.json").exists() == (kind == "ramjax")
  tokenizer = tokenizers.load_tokenizer(carried)
  assert tokenizer.special_id("<|tool|>") == size
  assert tokenizer.vocab_size == size + 2
  raw = json.loads((carried / "config.json").read_text())
  assert raw["bos_token_id"] == 3
  before, after = _arrays(source), _arrays(target)
  assert after.keys() == before.keys()
  rows = -(-(size + 2) // 16) * 16
  assert open_model(target).config.vocab_size == rows
  for name, array in after.items():
    if array.shape == before[name].shape:
      assert array.tobytes() == before[name].tobytes()
      continue
    assert array.shape[0] == rows
    assert array[:size].tobytes() == before[name].tobytes()
    mean = np.mean(before[name], axis=0, dtype=np.float64)
    expected = np.tile(mean, (rows - size, 1))
    np.testing.assert_allclose(array[size:], expected, rtol=0, atol=1e-6)
  output = capsys.readouterr().out
  assert (
    f"<|tool|>: id {size}" in output and f"<|end|>: id {size + 1}" in output
  )
  provenance = json.loads((target / "provenance.json").read_text())
  assert provenance["added_tokens"] == ["<|tool|>", "<|end|>"]
  assert provenance["rows_kept"] == size


def test_the_other_kind_of_folder_is_written_when_asked_for(tmp_path):
  config = _write_model(tmp_path / "model")
  size = config.vocab_size + 1
  run, back = tmp_path / "run", tmp_path / "back"
  _run(tmp_path / "model", run, f"--size={size}", "--to=ramjax", "--init=zeros")
  assert not _arrays(run)["lm_head.weight"][-1].any()
  _run(run, back, f"--size={size - 1}", "--to=hf")
  for name, array in _arrays(tmp_path / "model").items():
    assert _arrays(back)[name].tobytes() == array.tobytes()
  assert (back / "tokenizer.json").read_bytes() == (
    tmp_path / "model" / "tokenizer.json"
  ).read_bytes()


def test_a_token_takes_a_row_of_padding_and_makes_it_anew(tmp_path):
  config = _write_model(tmp_path / "model", padding=6)
  _run(tmp_path / "model", tmp_path / "out", "--add-token=<|tool|>")
  before, after = _arrays(tmp_path / "model"), _arrays(tmp_path / "out")
  used = config.vocab_size - 6
  for name in ("model.embed_tokens.weight", "lm_head.weight"):
    assert after[name].shape == before[name].shape
    assert after[name][:used].tobytes() == before[name][:used].tobytes()
    mean = np.mean(before[name][:used], axis=0, dtype=np.float64)
    np.testing.assert_allclose(after[name][used], mean, atol=1e-6)


def test_padding_can_be_taken_away_and_tokens_cannot(tmp_path, capsys):
  config = _write_model(tmp_path / "model", padding=6)
  num_tokens = config.vocab_size - 6
  _run(tmp_path / "model", tmp_path / "out", f"--size={num_tokens}")
  after = _arrays(tmp_path / "out")["lm_head.weight"]
  before = _arrays(tmp_path / "model")["lm_head.weight"]
  assert after.tobytes() == before[:num_tokens].tobytes()
  size = f"--size={num_tokens - 1}"
  _run(tmp_path / "model", tmp_path / "none", size, status=1)
  error = capsys.readouterr().err
  assert f"the tokenizer has {num_tokens} tokens" in error
  assert not (tmp_path / "none").exists()


def test_what_would_do_nothing_or_harm_is_refused(tmp_path, capsys):
  config = _write_model(tmp_path / "model", with_tokenizer=False)
  _run(tmp_path / "model", tmp_path / "out", status=1)
  assert "nothing to do" in capsys.readouterr().err
  size = f"--size={config.vocab_size - 1}"
  _run(tmp_path / "model", tmp_path / "out", size, status=1)
  assert "no tokenizer to tell which" in capsys.readouterr().err
  _run(tmp_path / "model", tmp_path / "out", "--add-token=<a>", status=1)
  assert "has no tokenizer.json" in capsys.readouterr().err
  _run(tmp_path / "model", tmp_path / "out", "--size=2000000", status=1)
  assert "2,000,000 rows are more than" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()
  with pytest.raises(SystemExit):
    _run(tmp_path / "model", tmp_path / "out", "--size=0")
  with pytest.raises(SystemExit):
    _run(tmp_path / "model", tmp_path / "out", "--size=1e3")


@pytest.mark.parametrize(
  "old,tokens,wanted,multiple,new",
  [
    (100, 100, None, 1, 100),
    (100, 101, None, 1, 101),  # A model smaller than its tokenizer grows.
    (128, 100, None, 1, 128),  # Padding stays unless --size takes it away.
    (128, 100, 100, 1, 100),
    (128, 100, 101, 8, 104),
    (100, 100, None, 128, 128),
    (100, 0, 200, 1, 200),
  ],
)
def test_the_new_size(old, tokens, wanted, multiple, new):
  found = convert_vocab.new_size(old, tokens, wanted=wanted, multiple=multiple)
  assert found == new


@pytest.mark.peers
def test_transformers_loads_the_result(tmp_path):
  transformers = pytest.importorskip("transformers")
  torch = pytest.importorskip("torch")
  config = _write_model(tmp_path / "model")
  target = tmp_path / "out"
  _run(
    tmp_path / "model", target, "--add-token=<|tool|>", "--pad-to-multiple=64"
  )
  tokenizer = transformers.AutoTokenizer.from_pretrained(target)
  ids = tokenizer.encode("hello<|tool|>world", add_special_tokens=False)
  assert ids.count(config.vocab_size) == 1
  text = tokenizer.decode(ids, skip_special_tokens=True)
  assert text == "helloworld"
  model = transformers.AutoModelForCausalLM.from_pretrained(target)
  rows = model.get_input_embeddings().weight
  assert rows.shape[0] == 320
  old = _arrays(tmp_path / "model")["model.embed_tokens.weight"]
  np.testing.assert_array_equal(rows[: len(old)].detach().numpy(), old)
  with torch.no_grad():
    logits = model(torch.tensor([ids])).logits
  assert torch.isfinite(logits).all()
  # A new row's logit is the mean of the old ones.
  mean = logits[..., : len(old)].mean(-1)
  torch.testing.assert_close(logits[..., len(old)], mean, atol=1e-4, rtol=1e-4)
