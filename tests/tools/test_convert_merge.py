# SPDX-License-Identifier: Apache-2.0
"""Every method merges folders of both kinds; odd options are refused."""

import dataclasses
import json

import numpy as np
import pytest

from ramjax.models import (
  hf_names,
  merged,
  merged_slerp,
  merged_ties,
  model_digest,
  tensors,
)
from ramjax.models.config import LlamaConfig
from ramjax.models.hf_folder import HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.open_model import open_model
from ramjax.models.run_folder import RunFolder
from ramjax.models.run_writer import RunWriter
from ramjax.tools import convert

_CONFIG = LlamaConfig(
  vocab_size=17,
  width=8,
  mlp_width=12,
  num_layers=2,
  num_heads=2,
  num_kv_heads=1,
  head_dim=4,
)


class _Random:
  """A source of random weights."""

  def __init__(self, seed, dtype, config=_CONFIG):
    rng = np.random.default_rng(seed)
    self.config = config
    self.specs = hf_names.hf_specs(config, dtype)
    self._arrays = {
      name: rng.standard_normal(spec.shape).astype(dtype)
      for name, spec in self.specs.items()
    }

  def rows(self, name, start, stop):
    return self._arrays[name][start:stop]


def _save(source, path, writer=HFWriter):
  path.mkdir()
  tensors.copy(source, writer(path, source.config, source.specs))
  return path


@pytest.fixture
def folders(tmp_path):
  """Base, a run of ours, and a Hugging Face folder of another dtype."""
  run = _save(_Random(1, "float32"), tmp_path / "run", RunWriter)
  (run / "hf").mkdir()
  (run / "hf" / "LICENSE").write_text("of the run")
  return (
    _save(_Random(0, "bfloat16"), tmp_path / "base"),
    run,
    _save(_Random(2, "bfloat16"), tmp_path / "hf"),
  )


def _run(*args):
  return convert.main(["merge", *map(str, args)])


@pytest.mark.parametrize(
  ("args", "expected"),
  [
    (
      ["linear", "--model=A", "--model=B", "--weight=1", "--weight=3"],
      lambda base, a, b: merged.linear([a, b], [1, 3]),
    ),
    (
      ["linear", "--model=A", "--model=B"],
      lambda base, a, b: merged.linear([a, b], [1, 1]),
    ),
    (
      ["linear", "--model=A", "--weight=-2", "--no-normalize"],
      lambda base, a, b: merged.linear([a], [-2], normalize=False),
    ),
    (
      ["slerp", "--model=A", "--model=B", "--t=0.25"],
      lambda base, a, b: merged_slerp.slerp(a, b, 0.25),
    ),
    (
      ["task", "--base=BASE", "--model=A", "--model=B", "--lambda=0.5"],
      lambda base, a, b: merged.task(base, [a, b], [1, 1], scale=0.5),
    ),
    (
      ["task", "--base=BASE", "--model=A", "--weight=-0.5"],
      lambda base, a, b: merged.task(base, [a], [-0.5]),
    ),
    (
      ["ties", "--base=BASE", "--model=A", "--model=B"],
      lambda base, a, b: merged_ties.ties(base, [a, b], density=0.2),
    ),
    (
      ["ties", "--base=BASE", "--model=A", "--density=0.5", "--lambda=2"],
      lambda base, a, b: merged_ties.ties(base, [a], density=0.5, scale=2),
    ),
    (
      ["expo", "--base=BASE", "--model=A", "--alpha=0.3"],
      lambda base, a, b: merged.extrapolate(base, a, 0.3),
    ),
  ],
)
def test_the_command_writes_what_the_method_gives(
  folders, tmp_path, args, expected
):
  base, run, hf = map(str, folders)
  args = [
    arg.replace("=BASE", f"={base}")
    .replace("=A", f"={run}")
    .replace("=B", f"={hf}")
    for arg in args
  ]
  target = tmp_path / "merged"
  assert not _run(args[0], target, *args[1:])
  found = open_model(target)
  assert isinstance(found, RunFolder)
  source = expected(*(open_model(folder) for folder in folders))
  assert model_digest.digest(found) == model_digest.digest(source)
  assert (target / "hf" / "LICENSE").read_text() == "of the run"
  origin = json.loads((target / "provenance.json").read_text())
  assert origin["method"] == args[0]
  assert origin["models"][0] == run


def test_dtype_and_layout_as_asked(folders, tmp_path):
  _, run, hf = folders
  target = tmp_path / "merged"
  assert not _run(
    *("linear", target, "--model", run, "--model", hf),
    *("--dtype=float16", "--to=hf"),
  )
  found = open_model(target)
  assert isinstance(found, HFFolder)
  source = merged.linear(
    [open_model(run), open_model(hf)], [1, 1], dtype="float16"
  )
  assert model_digest.digest(found) == model_digest.digest(source)


def test_the_first_model_gives_dtype_and_layout(folders, tmp_path):
  _, run, hf = folders
  target = tmp_path / "merged"
  assert not _run("linear", target, "--model", hf, "--model", run)
  found = open_model(target)
  assert isinstance(found, HFFolder)
  assert {spec.dtype for spec in found.specs.values()} == {"bfloat16"}


@pytest.mark.parametrize(
  ("args", "message"),
  [
    (["slerp", "--model=x", "--model=x"], "slerp needs --t: its options"),
    (["slerp", "--model=x", "--t=0.5"], "slerp takes 2 --model, and 1"),
    (["slerp", "--model=x", "--model=x", "--t=1.5"], "--t=1.5 must be from 0"),
    (["task", "--model=x"], "task needs --base"),
    (["expo", "--model=x", "--base=x"], "expo needs --alpha"),
    (
      ["expo", "--model=x", "--model=x", "--base=x", "--alpha=1"],
      "expo takes 1 --model, and 2 are given",
    ),
    (
      ["linear", "--model=x", "--base=x", "--lambda=1"],
      "linear does not use --base, --lambda: its options are --model, --weight",
    ),
    (["ties", "--model=x", "--base=x", "--weight=1"], "does not use --weight"),
    (
      ["task", "--model=x", "--base=x", "--no-normalize"],
      "does not use --no-normalize",
    ),
    (
      ["linear", "--model=x", "--weight=1", "--weight=2"],
      "2 --weight for 1 --model",
    ),
    (["ties", "--model=x", "--base=x", "--density=0"], "--density=0.0 must be"),
    (["ties", "--model=x", "--base=x", "--density=2"], "--density=2.0 must be"),
  ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, capsys, args, message):
  assert _run(args[0], tmp_path / "merged", *args[1:]) == 1
  assert message in capsys.readouterr().err


@pytest.mark.parametrize("value", ["nan", "inf", "x"])
def test_numbers_must_be_finite(tmp_path, capsys, value):
  with pytest.raises(SystemExit):
    _run("linear", tmp_path / "merged", "--model=x", f"--weight={value}")
  assert "--weight" in capsys.readouterr().err


def test_models_of_another_shape_are_refused(folders, tmp_path, capsys):
  base, run, _ = folders
  config = dataclasses.replace(_CONFIG, rope_theta=1e6)
  other = _save(_Random(3, "float32", config), tmp_path / "other")
  target = tmp_path / "merged"
  assert (
    _run("ties", target, f"--base={base}", f"--model={run}", f"--model={other}")
    == 1
  )
  assert "rope_theta is 10000.0 in" in capsys.readouterr().err
  assert not target.exists()


def test_an_overflow_leaves_no_target(folders, tmp_path, capsys):
  _, run, _ = folders
  target = tmp_path / "merged"
  assert (
    _run(
      *("linear", target, f"--model={run}", "--weight=1e30"),
      *("--no-normalize", "--dtype=float16"),
    )
    == 1
  )
  assert "has NaN or infinite values" in capsys.readouterr().err
  assert not target.exists()


def test_help_names_every_method(capsys):
  with pytest.raises(SystemExit):
    _run("--help")
  text = capsys.readouterr().out
  for method in ("linear", "slerp", "task", "ties", "expo"):
    assert f"  {method} " in text
