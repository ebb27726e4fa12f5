# SPDX-License-Identifier: Apache-2.0
"""A delta on disk reads back, and a damaged one is refused."""

import json
import shutil

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ramjax.models import delta, delta_folder, model_digest, tensors
from ramjax.models.delta_folder import EXCEPTIONS_FILE, FILE_NAME, DeltaFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.tensors import TensorError

_EMBEDDING = "model.embed_tokens.weight"


@pytest.fixture
def models(tiny, source_of):
  base = source_of("3")
  rng = np.random.default_rng(1)
  arrays = {
    name: (x + 0.01 * rng.standard_normal(x.shape)).astype(np.float32)
    for name, x in base.arrays.items()
  }
  arrays[_EMBEDDING][1, 1] = -0.0
  arrays[_EMBEDDING][2, 0] = -0.0
  return base, tiny.ArraySource(base.config, arrays)


@pytest.fixture
def folder(models, tmp_path):
  path = tmp_path / "delta"
  path.mkdir()
  chosen = delta.plan(*models)
  made = delta.Delta(*models, chosen)
  tensors.copy(made, HFWriter(path, made.config, made.specs))
  delta_folder.save(path, made, chosen)
  return path


def _edit(folder, change):
  fields = json.loads((folder / FILE_NAME).read_text())
  change(fields)
  (folder / FILE_NAME).write_text(json.dumps(fields))


def test_it_reads_back(folder, models):
  base, tuned = models
  found = DeltaFolder(folder)
  assert found.base == model_digest.digest(base)
  assert found.result == model_digest.digest(tuned)
  assert found.config == base.config
  applied = delta.Applied(base, found)
  assert model_digest.digest(applied) == found.result
  found.close()


def test_exceptions_have_a_file_only_if_there_are_some(folder, models, tiny):
  assert (folder / EXCEPTIONS_FILE).is_file()
  base, _ = models
  chosen = delta.plan(base, base)
  made = delta.Delta(base, base, chosen)
  (folder / "none").mkdir()
  delta_folder.save(folder / "none", made, chosen)
  assert not (folder / "none" / EXCEPTIONS_FILE).exists()


def test_another_folder_is_told_apart(tmp_path):
  with pytest.raises(FileNotFoundError, match="is not what `ramjax"):
    DeltaFolder(tmp_path)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    (lambda f: f.update(format=2), "format=2, and this version reads 1"),
    (lambda f: f.update(more=1), "must have format, base, result"),
    (lambda f: f.update(tensors=[]), "must have format, base, result"),
    (lambda f: f.update(base="x"), "must have format, base, result"),
    (lambda f: f.update(result="0" * 64), "result=0{64} is not the checksum"),
    (
      lambda f: f["tensors"][_EMBEDDING].update(dtype="int8"),
      "must have format, base, result",
    ),
    (
      lambda f: f["tensors"][_EMBEDDING].update(exceptions=-1),
      "must have format, base, result",
    ),
    (
      lambda f: f["tensors"][_EMBEDDING].update(base="0" * 64),
      "base=.* is not the checksum",
    ),
  ],
)
def test_an_odd_description_is_refused(folder, change, message):
  _edit(folder, change)
  with pytest.raises(ValueError, match=message):
    DeltaFolder(folder)


def test_a_description_that_is_too_large_is_refused(folder):
  (folder / FILE_NAME).write_bytes(b" " * (16 * 2**20 + 1))
  with pytest.raises(ValueError, match="is larger than"):
    DeltaFolder(folder)


def test_a_lone_tensor_is_refused(folder):
  path = folder / "model.safetensors"
  state = safetensors_numpy.load_file(path)
  safetensors_numpy.save_file({**state, "x": np.ones(2)}, path)
  with pytest.raises(TensorError, match="'x' is not the difference"):
    DeltaFolder(folder)


def test_missing_exceptions_are_refused(folder):
  (folder / EXCEPTIONS_FILE).unlink()
  with pytest.raises(FileNotFoundError, match=EXCEPTIONS_FILE):
    DeltaFolder(folder)


@pytest.mark.parametrize(
  ("places", "message"),
  [
    ([0], "does not hold the 2 exceptions"),
    ([1, 0], "must be ascending places below"),
    ([5, 5], "must be ascending places below"),
    ([-1, 0], "must be ascending places below"),
    ([0, 2**40], "must be ascending places below"),
  ],
)
def test_forged_exceptions_are_refused(folder, places, message):
  safetensors_numpy.save_file(
    {
      f"{_EMBEDDING}.place": np.array(places, np.int64),
      f"{_EMBEDDING}.value": np.zeros(len(places), np.float32),
    },
    folder / EXCEPTIONS_FILE,
  )
  found = DeltaFolder(folder)
  with pytest.raises(TensorError, match=message):
    found.exceptions(_EMBEDDING)


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
  outside = shutil.move(folder / FILE_NAME, tmp_path / "outside.json")
  (folder / FILE_NAME).symlink_to(outside)
  with pytest.raises(ValueError, match="outside its folder"):
    DeltaFolder(folder)
