# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert lora`: to PEFT, from it, into the base and out again."""

import json

import jax
import numpy as np
import pytest
import tiny_adapters
import tiny_model_folder

from ramjax.configs import base as base_config
from ramjax.models import fingerprint, run_adapters, weights
from ramjax.models.hf_folder import HFFolder
from ramjax.models.merged_lora import MergedLora
from ramjax.models.open_model import open_model
from ramjax.models.run_folder import RunFolder
from ramjax.tools import cli
from ramjax.trainers import initial_weights

CONFIG = tiny_model_folder.CONFIG  # Of 2 layers.
LORA = tiny_adapters.LoraConfig(
  (
    tiny_adapters.LoraModule("attention/query", (2, 4), (8.0, 8.0)),
    tiny_adapters.LoraModule("mlp/down", (0, 3), (0.0, 6.0)),
  )
)


def _convert(*argv):
  return cli.main(["convert", "lora", *map(str, argv)])


def _tensors(path):
  source = open_model(path)
  return {n: source.rows(n, 0, s.shape[0]) for n, s in source.specs.items()}


def _same(a, b):
  assert jax.tree.structure(a) == jax.tree.structure(b)
  jax.tree.map(np.testing.assert_array_equal, a, b)


def _make_run(root, **fields):
  """A run of step 7 with its base beside it, and what merging must give."""
  lora = tiny_adapters.dataclasses.replace(LORA, **fields)
  config = tiny_adapters.dataclasses.replace(CONFIG, lora=lora)
  base = tiny_model_folder.write(root / "base")
  params = tiny_adapters.random_adapters(config)
  (root / "run").mkdir()
  run_adapters.save(
    root / "run",
    run_adapters.Adapters(
      config, 7, params, root / "base", fingerprint.fingerprint(base)
    ),
  )
  kept = root / "run" / "hf"
  kept.mkdir()
  for name in ("tokenizer.model", "config.json"):
    (kept / name).write_bytes((root / "base" / name).read_bytes())
  return MergedLora(base, config, params)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp("lora")
  _make_run(root)
  assert _convert("to-peft", root / "run", root / "peft") == 0
  assert _convert("merge", root / "run", root / "merged") == 0
  return root


def test_peft_folder_has_what_they_expect(root, tmp_path, capsys):
  assert (
    _convert("to-peft", root / "run", tmp_path / "peft", "--base-name=org/name")
    == 0
  )
  assert {path.name for path in (tmp_path / "peft").iterdir()} == {
    "adapter_config.json",
    "adapter_model.safetensors",
    "provenance.json",
    "tokenizer.model",
  }
  out = capsys.readouterr().out
  assert "3 LoRA adapters of rank 2 to 4" in out and "for org/name" in out
  fields = json.loads((tmp_path / "peft/adapter_config.json").read_text())
  assert fields["base_model_name_or_path"] == "org/name"
  provenance = json.loads((tmp_path / "peft/provenance.json").read_text())
  assert provenance["step"] == 7
  default = json.loads((root / "peft/adapter_config.json").read_text())
  assert default["base_model_name_or_path"] == str(root / "base")


def test_from_peft_makes_a_run_of_the_same_adapters(root, tmp_path):
  again = tmp_path / "again"
  assert _convert("from-peft", root / "peft", root / "base", again) == 0
  first, second = run_adapters.load(root / "run"), run_adapters.load(again)
  assert second.step == 0
  assert second._replace(step=7, params={}) == first._replace(params={})
  _same(second.params, first.params)
  assert (again / "hf/tokenizer.model").is_file()
  assert (again / "hf/config.json").is_file()
  expected, found = _tensors(root / "run"), _tensors(again)
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array)


def test_training_starts_from_the_merged_model(root, tmp_path):
  again = tmp_path / "again"
  _convert("from-peft", root / "peft", root / "base", again)
  config = base_config.sft()
  config.data.max_length = 32
  config.init.from_run = str(again)
  shape = initial_weights.make_model_config(config)
  assert shape == tiny_adapters.dataclasses.replace(
    CONFIG, dtype=shape.dtype, remat=shape.remat, attention=shape.attention
  )
  mesh = tiny_adapters.one_device()
  trained, frozen = initial_weights.load(config, shape, mesh)
  assert frozen == {}
  merged = _tensors(root / "run")
  np.testing.assert_array_equal(
    trained["layers"]["mlp"]["down"]["kernel"][1],
    merged["model.layers.1.mlp.down_proj.weight"].T,
  )
  # And with adapters of its own on top of them.
  config.lora.rank = 2
  shape = initial_weights.make_model_config(config)
  trained, frozen = initial_weights.load(config, shape, mesh)
  assert shape.lora is not None and "kernel" in frozen["layers"]["mlp"]["down"]
  assert initial_weights.tokenizer_folder(config) == again / "hf"


def test_merged_model_is_either_kind_of_folder(root, tmp_path):
  assert _convert("merge", root / "run", tmp_path / "hf", "--to=hf") == 0
  ours, theirs = open_model(root / "merged"), open_model(tmp_path / "hf")
  assert isinstance(ours, RunFolder) and isinstance(theirs, HFFolder)
  expected = _tensors(root / "run")
  for path in (root / "merged", tmp_path / "hf"):
    found = _tensors(path)
    assert set(found) == set(expected)
    for name, array in expected.items():
      np.testing.assert_array_equal(found[name], array)
  assert (tmp_path / "hf/tokenizer.model").is_file()
  assert '"step": 7' in (tmp_path / "hf/README.md").read_text()


def test_adapter_of_peft_is_merged_into_a_named_base(root, tmp_path):
  target = tmp_path / "merged"
  assert _convert("merge", root / "peft", target, "--base", root / "base") == 0
  assert isinstance(open_model(target), HFFolder)
  for name, array in _tensors(root / "run").items():
    np.testing.assert_array_equal(_tensors(target)[name], array)


def test_merging_rounds_once(root, tmp_path):
  target = tmp_path / "merged"
  assert _convert("merge", root / "run", target, "--dtype=bfloat16") == 0
  exact = _tensors(root / "run")
  for name, array in _tensors(target).items():
    np.testing.assert_array_equal(array, exact[name].astype("bfloat16"))


def test_unmerging_gives_the_base_back(root, tmp_path):
  target = tmp_path / "base"
  assert _convert("unmerge", root / "merged", root / "run", target) == 0
  assert isinstance(open_model(target), RunFolder)
  expected = _tensors(root / "base")
  for name, array in _tensors(target).items():
    np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-6)


def test_exported_run_names_its_step(root, tmp_path):
  command = ["convert", "to-hf", str(root / "run"), str(tmp_path / "hf")]
  assert cli.main(command) == 0
  assert '"step": 7' in (tmp_path / "hf/README.md").read_text()


def test_classifier_of_a_language_model_is_made_whole(root, tmp_path):
  """An adapter with a score head, whose base has none."""
  config = tiny_adapters.dataclasses.replace(CONFIG, lora=LORA, num_labels=1)
  params = tiny_adapters.random_adapters(config)
  (tmp_path / "run").mkdir()
  run_adapters.save(
    tmp_path / "run",
    run_adapters.load(root / "run")._replace(config=config, params=params),
  )
  assert _convert("to-peft", tmp_path / "run", tmp_path / "peft") == 0
  base = ("--base", root / "base")
  assert _convert("merge", tmp_path / "peft", tmp_path / "hf", *base) == 0
  found = HFFolder(tmp_path / "hf")
  assert found.config.num_labels == 1
  assert found.raw_config["architectures"] == ["LlamaForSequenceClassification"]
  np.testing.assert_array_equal(
    found.rows("score.weight", 0, 1), params["score"]["kernel"].T
  )


def _error(capsys, *argv):
  assert _convert(*argv) == 1
  error = capsys.readouterr().err
  assert error.startswith("ramjax convert lora: ") and error.count("\n") == 1
  return error


def test_mistakes_are_one_line(root, tmp_path, capsys):
  new = tmp_path / "new"
  run, peft, base = root / "run", root / "peft", root / "base"
  for argv, message in (
    (("merge", peft, new), "name the model it adapts in --base"),
    (("merge", run, new, "--base", base), "leave --base out"),
    (("merge", peft, new, "--base", base, "--step=1"), "leave --step"),
    (("merge", root / "merged", new), "has no adapters"),
    (("merge", run, new, "--step=3"), "no checkpoint of step 3"),
    (("to-peft", run, new, "--average"), "optim.ema_decay"),
    (("to-peft", root / "merged", new), "has no adapters"),
    (("to-peft", tmp_path, new), "model.json does not exist"),
    (("to-peft", run, peft), "exists already"),
    (("from-peft", base, base, new), "adapter_model.safetensors does not"),
    (("from-peft", peft, tmp_path / "x", new), "holds no model"),
    (("unmerge", base, root / "merged", new), "has no adapters"),
  ):
    assert message in _error(capsys, *argv)
    assert not new.exists()


def test_dora_cannot_be_taken_out(tmp_path, capsys):
  _make_run(tmp_path, dora=True)
  assert _convert("merge", tmp_path / "run", tmp_path / "merged") == 0
  argv = ("unmerge", tmp_path / "merged", tmp_path / "run", tmp_path / "new")
  assert "cannot be taken out again" in _error(capsys, *argv)


def test_help_names_every_command(capsys):
  for argv in ([], ["merge"], ["unmerge"], ["to-peft"], ["from-peft"]):
    with pytest.raises(SystemExit) as caught:
      _convert(*argv, "--help")
    assert caught.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80
  assert weights.BASE_FILE == "base.json"
