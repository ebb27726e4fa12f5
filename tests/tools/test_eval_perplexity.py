# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval perplexity`: a uniform model by hand, another by a plain pass."""

import hashlib
import json
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model_folder

from ramjax.data.tokenizers import load_tokenizer
from ramjax.models import heads, hf_writer, llama, run_writer, tensors
from ramjax.tools import eval as eval_command
from ramjax.tools import eval_likelihood, loaded_model

_TEXTS = ["word 3 and then more of it", "", "é€ 12\n"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("perplexity") / "tiny"
  tiny_model_folder.write(path)
  return path


@pytest.fixture(scope="module")
def uniform(folder):
  """A model for which all of 320 tokens are as likely."""
  path = folder.parent / "uniform"
  path.mkdir()
  config = tiny_model_folder.CONFIG
  model = tiny_model_folder.RandomModel(config, dtype="float32", seed=0)
  model.arrays["lm_head.weight"][:] = 0
  tensors.copy(model, hf_writer.HFWriter(path, config, model.specs))
  name = "tokenizer.model"
  (path / name).write_bytes((folder / name).read_bytes())
  return path


def _jsonl(folder, texts, key="text"):
  path = folder / "pages.jsonl"
  path.write_text("".join(json.dumps({key: text}) + "\n" for text in texts))
  return path


def _run(data, model, *argv) -> Any:
  out = data.parent / "out"
  status = eval_command.main(
    ["perplexity", f"--data={data}", f"--model={model}", f"--out={out}", *argv]
  )
  if status:
    return None, None
  lines = (out / "records.jsonl").read_text().splitlines()
  found = json.loads((out / "evaluation.json").read_text())
  return found, [json.loads(line) for line in lines]


def test_a_uniform_model_has_the_perplexity_worked_out_by_hand(
  tmp_path, uniform, capsys
):
  data = _jsonl(tmp_path, _TEXTS)
  found, records = _run(data, uniform)
  tokenizer = load_tokenizer(uniform / "tokenizer.model")
  tokens = [len(tokenizer.encode(t, at_start=True)) for t in _TEXTS if t]
  bytes_ = [26, 2 + 3 + 4]
  words = [7, 3]  # The last of them is empty, behind the line feed.
  nll = sum(tokens) * math.log(320)
  figures = found["figures"]
  expected = {
    "word_perplexity": math.exp(nll / 10),
    "byte_perplexity": math.exp(nll / 35),
    "bits_per_byte": nll / 35 / math.log(2),
    "token_ppl": 320,
    "texts": 2,
    "words": 10,
    "bytes": 35,
    "tokens": sum(tokens),
    "log-likelihood, nats": -nll,
  }
  assert figures == pytest.approx(expected, rel=1e-6)
  assert found["counted"] == {"texts are empty and left out": 1}
  assert [record["bytes"] for record in records] == bytes_
  assert [record["words"] for record in records] == words
  assert [record["tokens"] for record in records] == tokens
  assert found["inputs"] == {
    str(data): hashlib.sha256(data.read_bytes()).hexdigest()
  }
  identity = found["model_identity"]
  assert identity["fingerprint"] and identity["tokenizer"]
  assert (identity["step"], identity["dtype"]) == (None, "float32")
  shown = capsys.readouterr().out
  assert shown.endswith(f"{data.parent / 'out' / 'evaluation.json'}\n")
  assert "bits_per_byte" in shown and "cannot be compared" in shown


def test_a_long_text_is_predicted_in_windows(tmp_path, folder):
  text = " ".join(_TEXTS[0] for _ in range(3))
  path = tmp_path / "page.txt"
  path.write_text(text)
  found, _ = _run(path, folder, "--max-length=8", "--batch-size=3")
  model = loaded_model.load(folder, template="plain")
  ids = model.tokenizer.encode(text, at_start=True)
  whole = [model.tokenizer.bos_id, *ids]
  assert len(ids) > 24
  params = jax.device_put(jax.device_get(model.params), jax.devices()[0])

  @jax.jit
  def logps(tokens):
    positions = jnp.arange(8)[None]
    hidden = llama.apply(params, model.config, tokens, positions=positions)
    logits = heads.lm_logits(params, model.config, hidden)
    return jax.nn.log_softmax(logits, axis=-1)[0]

  total = 0.0
  for start in range(0, len(ids), 8):
    end = min(start + 8, len(ids))
    read = np.array([whole[end - 8 : end]])  # Always 8, so the last rolls.
    scored = np.asarray(logps(read), np.float64)
    for i in range(start, end):
      total += scored[i - (end - 8), ids[i]]
  assert found["figures"]["log-likelihood, nats"] == pytest.approx(
    total, abs=1e-4
  )
  assert found["figures"]["tokens"] == len(ids)


@pytest.mark.parametrize(
  "texts, key, message",
  [
    (["a", "b"], "body", "record 1 has no 'text' that is a string"),
    (["a", 3], "text", "record 2 has no 'text'"),
    ([], "text", "holds no records"),
    ([""], "text", "holds no text to predict"),
  ],
)
def test_records_without_text_are_refused(
  tmp_path, folder, capsys, texts, key, message
):
  data = _jsonl(tmp_path, texts, key)
  assert _run(data, folder) == (None, None)
  assert message in capsys.readouterr().err


def test_a_text_that_is_not_utf8_is_refused(tmp_path, folder, capsys):
  path = tmp_path / "page.txt"
  path.write_bytes(b"ab\xff")
  assert _run(path, folder) == (None, None)
  assert "is not UTF-8 at byte 2" in capsys.readouterr().err


def test_more_positions_than_the_model_is_for_are_refused(
  tmp_path, folder, capsys
):
  data = _jsonl(tmp_path, _TEXTS)
  assert _run(data, folder, "--max-length=65") == (None, None)
  assert "is for 64 positions at most" in capsys.readouterr().err
  for wrong in ("--max-length=0", "--batch-size=-1"):
    with pytest.raises(SystemExit):
      _run(data, folder, wrong)


def test_a_file_of_no_text_is_told_what_is_taken(tmp_path, folder, capsys):
  path = tmp_path / "README.md"
  path.write_text("words")
  assert _run(path, folder) == (None, None)
  assert "must end in .txt (one text) or in one of .jsonl" in (
    capsys.readouterr().err
  )


def test_a_place_for_figures_is_looked_for_before_the_model_is_loaded(
  tmp_path, folder, capsys, monkeypatch
):
  monkeypatch.setattr(loaded_model, "load", pytest.fail)
  out = tmp_path / "out"
  out.mkdir()
  data = _jsonl(out, _TEXTS).rename(out / "records.jsonl")
  before = data.read_bytes()
  argv = ["perplexity", f"--data={data}", f"--model={folder}"]
  assert eval_command.main([*argv, f"--out={out}"]) == 1
  assert "records.jsonl would be written" in capsys.readouterr().err
  assert data.read_bytes() == before
  (tmp_path / "file").write_text("")
  assert eval_command.main([*argv, f"--out={tmp_path / 'file'}"]) == 1
  assert "file" in capsys.readouterr().err


def test_records_of_another_benchmark_are_not_replaced(
  tmp_path, folder, capsys
):
  data = _jsonl(tmp_path, _TEXTS)
  out = tmp_path / "out"
  out.mkdir()
  (out / "records.jsonl").write_text("those of ARC")
  (out / "evaluation.json").write_text(
    json.dumps({"benchmark": "multiple_choice, arc", "model": str(folder)})
  )
  argv = ["perplexity", f"--data={data}", f"--model={folder}", f"--out={out}"]
  assert eval_command.main(argv) == 1
  assert "has 'multiple_choice, arc'" in capsys.readouterr().err
  assert (out / "records.jsonl").read_text() == "those of ARC"


def test_a_batch_without_room_names_the_options_that_make_it_smaller(
  tmp_path, folder, capsys, monkeypatch
):
  def no_room(*unused, **also_unused):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  monkeypatch.setattr(eval_likelihood, "continuation_logps", no_room)
  assert _run(_jsonl(tmp_path, _TEXTS), folder) == (None, None)
  shown = capsys.readouterr().err
  assert "lower --batch-size or --max-length (RESOURCE_EXHAUSTED" in shown


def test_the_checkpoint_of_a_run_is_recorded(tmp_path, folder):
  run = tmp_path / "run"
  run.mkdir()
  model = tiny_model_folder.RandomModel(
    tiny_model_folder.CONFIG, dtype="float32", seed=0
  )
  writer = run_writer.RunWriter(run, model.config, model.specs, step=7)
  tensors.copy(model, writer)
  name = "tokenizer.model"
  (run / name).write_bytes((folder / name).read_bytes())
  found, _ = _run(_jsonl(tmp_path, _TEXTS), run, "--dtype=bfloat16")
  identity = found["model_identity"]
  assert (identity["step"], identity["dtype"]) == (7, "bfloat16")
