# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert to-hf`: a run's checkpoint becomes a folder of theirs."""

import json

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from ramjax.models import llama, weights
from ramjax.models.hf_folder import HFFolder
from ramjax.tools import cli


def _convert(*argv):
  return cli.main(["convert", *map(str, argv)])


@pytest.fixture(scope="module")
def run(tmp_path_factory, shapes):
  """A run as trainers leave it: steps 3 and 5, the latter with an average."""
  config = shapes["3_2"]
  run = tmp_path_factory.mktemp("runs") / "mine"
  run.mkdir()
  weights.save_config(run, config)
  params = [llama.init_params(config, jax.random.key(i)) for i in range(3)]
  items = ("3/params", "5/params", "5/average")
  with ocp.StandardCheckpointer() as checkpointer:
    for item, tree in zip(items, params, strict=True):
      checkpointer.save(run / "checkpoints" / item, tree)
  return run, jax.device_get(params)


@pytest.mark.parametrize(
  "options,which,step",
  [([], 1, 5), (["--step=3"], 0, 3), (["--average"], 2, 5)],
)
def test_chosen_weights_are_exported(
  golden_maker, run, tmp_path, options, which, step
):
  run, params = run
  assert _convert("to-hf", run, tmp_path / "out", *options) == 0
  source = HFFolder(tmp_path / "out")
  state = {n: source.rows(n, 0, s.shape[0]) for n, s in source.specs.items()}
  jax.tree.map(
    np.testing.assert_array_equal,
    golden_maker.params_from_hf(state, source.config),
    params[which],
  )
  made = json.loads((tmp_path / "out/provenance.json").read_text())
  assert made["step"] == step and made["source"] == str(run)


def test_there_and_back_keeps_the_file(
  tiny, shapes, state_of, tmp_path, capsys
):
  # In the order of the layers, as both write it.
  hf = tmp_path / "theirs"
  first, run, again = tmp_path / "a", tmp_path / "run", tmp_path / "b"
  tiny.write_hf(hf, shapes["mistral"], state_of("mistral"), eos_token_id=7)
  (hf / "chat_template.jinja").write_text("{{ messages }}")
  assert _convert("to-hf", hf, first) == 0
  assert _convert("from-hf", first, run) == 0
  assert _convert("to-hf", run, again) == 0
  for name in ("model.safetensors", "config.json", "chat_template.jinja"):
    assert (again / name).read_bytes() == (first / name).read_bytes(), name
  assert json.loads((again / "config.json").read_text())["eos_token_id"] == 7
  card = (again / "README.md").read_text()
  # The whole way is told.
  assert '"command": "convert from-hf"' in card and str(first) in card
  assert f"{again}: 21 tensors" in capsys.readouterr().out


def test_shards_are_of_the_size_asked_for(run, tmp_path):
  run, _ = run
  assert _convert("to-hf", run, tmp_path / "out", "--shard-size=0.03MB") == 0
  shards = list((tmp_path / "out").glob("model-*.safetensors"))
  assert len(shards) > 1
  assert all(shard.stat().st_size < 34_000 for shard in shards)
  HFFolder(tmp_path / "out")


def test_overflow_in_float16_is_one_line(source_of, run, tmp_path, capsys):
  run, params = run
  params = jax.tree.map(np.copy, params[0])
  params["final_norm"]["scale"][0] = 1e6
  mine = tmp_path / "mine"
  mine.mkdir()
  weights.save_config(mine, weights.load_config(run))
  with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(mine / "checkpoints/1/params", params)
  assert _convert("to-hf", mine, tmp_path / "out", "--dtype=float16") == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert "overflowed in a cast to float16" in line
  assert not (tmp_path / "out").exists()
  assert _convert("to-hf", mine, tmp_path / "out", "--dtype=bfloat16") == 0


@pytest.mark.parametrize(
  "options,match",
  [
    (["--step=4"], "no checkpoint of step 4"),
    (["--average", "--step=3"], "average"),
  ],
)
def test_weights_that_are_not_there_are_one_line(
  run, tmp_path, capsys, options, match
):
  assert _convert("to-hf", run[0], tmp_path / "out", *options) == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("ramjax convert to-hf: ") and match in line


def test_model_file_of_another_version_is_one_line(tmp_path, capsys):
  (tmp_path / "model.json").write_text('{"future": 1}')
  assert _convert("to-hf", tmp_path, tmp_path / "out") == 1
  (line,) = capsys.readouterr().err.splitlines()
  assert "model.json" in line and "future" in line
