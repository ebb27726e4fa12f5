# SPDX-License-Identifier: Apache-2.0
"""A folder is opened as what it is, or refused."""

import pytest
import tiny_adapters
import tiny_model_folder

from ramjax.models import run_adapters, tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.models.open_model import open_model
from ramjax.models.run_folder import RunFolder
from ramjax.models.run_writer import RunWriter


@pytest.fixture
def hf(tiny, shapes, state_of, tmp_path):
  return tiny.write_hf(tmp_path / "hf", shapes["3"], state_of("3"))


@pytest.fixture
def run(source_of, tmp_path):
  source = source_of("3")
  folder = tmp_path / "run"
  folder.mkdir()
  writer = RunWriter(folder, source.config, source.specs, step=4)
  tensors.copy(source, writer)
  return folder


def test_both_kinds_are_opened_as_the_same_tensors(tiny, hf, run):
  theirs, ours = open_model(hf), open_model(str(run))
  assert isinstance(theirs, HFFolder) and isinstance(ours, RunFolder)
  assert theirs.config == ours.config
  assert tiny.read_bytes(theirs) == tiny.read_bytes(ours)


def test_step_is_that_of_a_run(run):
  opened = open_model(run, step=4)
  assert isinstance(opened, RunFolder) and opened.step == 4
  with pytest.raises(FileNotFoundError, match="no checkpoint of step 5"):
    open_model(run, step=5)


@pytest.mark.parametrize("options", [{"step": 0}, {"average": True}])
def test_hugging_face_has_no_steps_and_no_average(hf, options):
  with pytest.raises(ValueError, match="has no steps and no average"):
    open_model(hf, **options)


def test_the_config_of_a_run_is_not_taken_for_theirs(run):
  (run / "config.json").write_text('{"algorithm": "sft"}')
  assert isinstance(open_model(run), RunFolder)


def test_folder_without_a_model_is_refused(tmp_path):
  for path in (tmp_path, tmp_path / "nowhere"):
    with pytest.raises(FileNotFoundError, match="holds no model"):
      open_model(path)


def test_a_run_that_is_its_own_base_is_refused(tmp_path):
  config = tiny_adapters.adapted("lora")
  adapters = tiny_adapters.adapters_of(config, tmp_path)._replace(
    base=tmp_path / "run"
  )
  (tmp_path / "run").mkdir()
  run_adapters.save(tmp_path / "run", adapters)
  with pytest.raises(ValueError, match="this very run"):
    open_model(tmp_path / "run")


def test_differences_are_not_taken_for_a_model(tmp_path):
  tiny_model_folder.write(tmp_path / "hf")
  (tmp_path / "hf/delta.json").write_text("{}")
  with pytest.raises(ValueError, match="delta apply"):
    open_model(tmp_path / "hf")
