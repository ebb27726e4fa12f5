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
from ramjax.models import heads, hf_writer, llama, tensors
from ramjax.tools import eval as eval_command
from ramjax.tools import loaded_model

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
  shown = capsys.readouterr().out
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
