# SPDX-License-Identifier: Apache-2.0
"""Tests of `ramjax convert verify` on tiny models on disk."""

import dataclasses
import json

import numpy as np
import pytest

from ramjax.data import train_tokenizer
from ramjax.models import hf_names
from ramjax.models.config import LlamaConfig
from ramjax.tools import convert

_CONFIG = LlamaConfig(
  vocab_size=40,
  width=16,
  mlp_width=24,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=8,
)
_NAME = "model.layers.1.mlp.down_proj.weight"


def _state(config, seed=0, dtype="float32"):
  """Weights that bfloat16 holds exactly; norms are ones."""
  rng = np.random.default_rng(seed)
  return {
    name: np.ones(shape, np.dtype(dtype))
    if len(shape) == 1
    else (0.3 * rng.standard_normal(shape)).astype("bfloat16").astype(dtype)
    for name, shape in hf_names.hf_shapes(config).items()
  }


@pytest.fixture
def model(tiny, tmp_path):
  """A Hugging Face folder."""
  return tiny.write_hf(tmp_path / "model", _CONFIG, _state(_CONFIG))


def _verify(*argv):
  return convert.main(["verify", *map(str, argv)])


def test_a_model_in_both_layouts_is_the_same(model, tmp_path, capsys):
  run, out = tmp_path / "run", tmp_path / "out.json"
  assert convert.main(["from-hf", str(model), str(run)]) == 0
  capsys.readouterr()
  assert _verify(run, model, "--step=0", f"--json={out}") == 0
  shown = capsys.readouterr().out
  assert "config: equal" in shown
  assert "tensors: 21 in both, of which 21 equal to the byte" in shown
  assert "logits: 4 prompts, 128 positions, 40 ids, float32" in shown
  assert shown.endswith("SAME: every tensor is equal to the byte.\n")
  report = json.loads(out.read_text())
  assert report["same"] and report["models"] == [str(run), str(model)]
  first, second = report["sha256"]
  assert first == second and len(first["tensors"]) == 21
  assert report["outputs"]["kl_nats"] == [[0.0] * 32] * 4
  assert report["outputs"]["max"] == [[0.0] * 32] * 4
  assert [len(prompt) for prompt in report["prompts"]] == [32] * 4


def test_the_same_values_in_another_dtype_compute_the_same(
  tiny, model, tmp_path, capsys
):
  state = _state(_CONFIG, dtype="bfloat16")
  other = tiny.write_hf(tmp_path / "bf16", _CONFIG, state)
  assert _verify(other, model, "--weights-only") == 1
  shown = capsys.readouterr().out
  assert "21 are bfloat16 in A and float32 in B" in shown
  assert "every value is equal, but stored in another dtype" in shown
  assert _verify(other, model) == 0
  assert "SAME: all logits at the 128 positions" in capsys.readouterr().out


def test_rounding_to_bfloat16_moves_the_logits_a_little(tiny, tmp_path, capsys):
  state = _state(_CONFIG)
  rng = np.random.default_rng(1)
  for rows in state.values():
    rows *= 1 + 1e-3 * rng.standard_normal(rows.shape, np.float32)
  full = tiny.write_hf(tmp_path / "full", _CONFIG, state)
  rounded = {n: x.astype("bfloat16") for n, x in state.items()}
  half = tiny.write_hf(tmp_path / "half", _CONFIG, rounded)
  out = tmp_path / "out.json"
  assert _verify(full, half, f"--json={out}") == 1
  assert "NOT THE SAME: logits at the 128 positions" in capsys.readouterr().out
  outputs = json.loads(out.read_text())["outputs"]
  assert 0 < max(map(max, outputs["kl_nats"])) < 1e-3
  assert 1e-4 < outputs["worst"]["max"] < 0.2
  assert _verify(full, half, "--tolerance=0.2") == 0
  assert "are within 0.2" in capsys.readouterr().out


def test_one_changed_weight_is_named(tiny, model, tmp_path, capsys):
  state = _state(_CONFIG)
  state[_NAME][3, 5] += 0.5
  other = tiny.write_hf(tmp_path / "other", _CONFIG, state)
  out = tmp_path / "out.json"
  assert _verify(model, other, f"--json={out}") == 1
  shown = capsys.readouterr().out
  assert "tensors: 21 in both, of which 20 equal to the byte" in shown
  assert f"{_NAME}  " in shown
  report = json.loads(out.read_text())
  assert list(report["values"]) == [_NAME]
  assert report["values"][_NAME]["max_absolute"] == pytest.approx(0.5)
  worst = report["outputs"]["worst"]
  assert worst["max"] > 1e-4
  largest = report["outputs"]["max"]
  assert largest[worst["prompt"]][worst["position"]] == worst["max"]
  assert _verify(model, other, "--weights-only") == 1
  assert (
    "the bytes differ; outputs were not compared" in capsys.readouterr().out
  )


def test_damaged_weights_are_within_no_tolerance(tiny, model, tmp_path, capsys):
  state = _state(_CONFIG)
  state[_NAME][3, 5] = np.nan
  other = tiny.write_hf(tmp_path / "other", _CONFIG, state)
  out = tmp_path / "out.json"
  assert _verify(model, other, "--tolerance=1e9", f"--json={out}") == 1
  assert "differ by up to nan" in capsys.readouterr().out
  assert json.loads(out.read_text())["outputs"]["worst"]["max"] == "nan"


def test_a_field_of_the_config_is_a_difference(tiny, model, tmp_path, capsys):
  state = _state(_CONFIG)
  other = tiny.write_hf(tmp_path / "other", _CONFIG, state, rms_norm_eps=0.01)
  assert _verify(model, other) == 1
  shown = capsys.readouterr().out
  assert "norm_eps: 1e-05 in A, 0.01 in B" in shown
  assert "of which 21 equal to the byte" in shown


def test_of_a_longer_vocabulary_the_shared_ids_are_compared(
  tiny, model, tmp_path, capsys
):
  config = dataclasses.replace(_CONFIG, vocab_size=44)
  state = _state(_CONFIG)
  for name in ("model.embed_tokens.weight", "lm_head.weight"):
    extra = np.ones((4, state[name].shape[1]), np.float32)
    state[name] = np.concatenate([state[name], extra])
  other = tiny.write_hf(tmp_path / "other", config, state)
  assert _verify(model, other) == 0
  shown = capsys.readouterr().out
  assert "vocab_size: 40 in A, 44 in B" in shown
  assert "lm_head.weight: [40, 16] in A, [44, 16] in B" in shown
  assert "the vocabularies have 40 and 44 ids" in shown
  assert "on the 40 ids that both models have" in shown


def test_text_is_compared_by_the_tokenizer_of_the_first(tiny, tmp_path, capsys):
  config = dataclasses.replace(_CONFIG, vocab_size=300)
  first, second = (
    tiny.write_hf(tmp_path / name, config, _state(config)) for name in "ab"
  )
  train_tokenizer.train_sentencepiece(
    ["the cat sat on the mat", "a dog ran"] * 20,
    path=first / "tokenizer.model",
    vocab_size=285,
  )
  prompts, out = tmp_path / "prompts.txt", tmp_path / "out.json"
  prompts.write_text("the cat\na dog\n")
  argv = [f"--prompts={prompts}", f"--json={out}"]
  assert _verify(first, second, *argv) == 0
  assert "logits: 6 prompts" in capsys.readouterr().out
  report = json.loads(out.read_text())
  assert report["prompts"][4][0] == 1  # BOS
  rows = report["outputs"]["kl_nats"]
  assert [*map(len, rows)] == [*map(len, report["prompts"])]


def test_a_reward_model_is_compared_by_its_scores(
  tiny, model, tmp_path, capsys
):
  config = dataclasses.replace(_CONFIG, num_labels=1)
  state = _state(config)
  first = tiny.write_hf(tmp_path / "first", config, state)
  state["score.weight"] = state["score.weight"] * 2
  second = tiny.write_hf(tmp_path / "second", config, state)
  assert _verify(first, second) == 1
  shown = capsys.readouterr().out
  assert "scores: 4 prompts, 128 positions, 1 labels" in shown
  assert "KL" not in shown
  assert _verify(first, model) == 1
  shown = capsys.readouterr().out
  assert "score.weight: in A alone" in shown
  assert "lm_head.weight: in B alone" in shown
  assert "outputs: not compared: one model has a score head of 1" in shown


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["--step=3"], "is a Hugging Face folder, which has no steps"),
    (["--json=none/out.json"], "the folder none does not exist"),
    (["--prompts=none.txt"], "none.txt"),
    (["--prompts=p.txt", "--weights-only"], "leave one of them out"),
  ],
)
def test_mistakes_are_said_before_anything_is_read(
  model, capsys, argv, message
):
  assert _verify(model, model, *argv) == 2
  printed = capsys.readouterr()
  assert message in printed.err and printed.out == ""


def test_an_architecture_we_do_not_compute_is_refused(
  tiny, model, tmp_path, capsys
):
  other = tiny.write_hf(
    tmp_path / "other",
    _CONFIG,
    _state(_CONFIG),
    architectures=["GPT2LMHeadModel"],
  )
  assert _verify(model, other) == 2
  assert "GPT2LMHeadModel" in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_tolerance_is_a_number_from_0(model, tolerance):
  with pytest.raises(SystemExit) as end:
    _verify(model, model, f"--tolerance={tolerance}")
  assert end.value.code == 2
