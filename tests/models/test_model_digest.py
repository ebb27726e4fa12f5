# SPDX-License-Identifier: Apache-2.0
"""A model's checksum says the same however its tensors are read."""

import dataclasses
import hashlib

import numpy as np
import pytest

from ramjax.models import model_digest, tensors
from ramjax.models.hf_folder import HFFolder
from ramjax.models.hf_writer import HFWriter
from ramjax.models.run_folder import RunFolder
from ramjax.models.run_writer import RunWriter
from ramjax.models.tensors import TensorError


def test_the_definition_is_what_the_module_says(tiny, config):
  a = np.array([[1.0, 2.0]], "float32")
  b = np.array([3.0], "bfloat16")
  of_a = hashlib.sha256(
    b"float32 [1, 2]\n" + bytes.fromhex("0000803f 00000040")
  ).hexdigest()
  # 3 is 1.5 * 2, of the bits 0 10000000 1000000.
  of_b = hashlib.sha256(b"bfloat16 [1]\n" + bytes.fromhex("4040")).hexdigest()
  found = model_digest.digest(tiny.ArraySource(config, {"b": b, "a": a}))
  assert found.tensors == {"a": of_a, "b": of_b}
  lines = f"a {of_a}\nb {of_b}\n".encode()
  assert found.total == hashlib.sha256(lines).hexdigest()


def test_folders_of_both_kinds_and_any_shards_agree(
  tiny, source_of, tmp_path, monkeypatch
):
  source = source_of("3", "bfloat16")
  expected = model_digest.digest(source)
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 100)
  for name, shard_bytes in (("one", 10**9), ("many", 2000)):
    (tmp_path / name).mkdir()
    tensors.copy(
      source,
      HFWriter(
        tmp_path / name, source.config, source.specs, shard_bytes=shard_bytes
      ),
    )
    assert model_digest.digest(HFFolder(tmp_path / name)) == expected
  assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
  (tmp_path / "run").mkdir()
  tensors.copy(source, RunWriter(tmp_path / "run", source.config, source.specs))
  assert model_digest.digest(RunFolder(tmp_path / "run")) == expected


@pytest.mark.parametrize(
  "change",
  [
    lambda x: x.reshape(3, 2),
    lambda x: x.astype("bfloat16"),
    lambda x: np.where(x == 0, np.float32(-0.0), x),
  ],
)
def test_shape_dtype_and_every_bit_count(tiny, config, change):
  x = np.arange(6, dtype=np.float32).reshape(2, 3)
  same = {"same": np.ones(2, np.float32)}
  first = model_digest.digest(tiny.ArraySource(config, {"x": x, **same}))
  other = model_digest.digest(
    tiny.ArraySource(config, {"x": change(x), **same})
  )
  assert first.total != other.total
  assert model_digest.differing(first, other) == ["x"]


def test_a_tensor_that_one_model_lacks_differs(tiny, config):
  x = np.ones(2, np.float32)
  first = model_digest.digest(tiny.ArraySource(config, {"x": x}))
  other = model_digest.digest(tiny.ArraySource(config, {"x": x, "y": x}))
  assert model_digest.differing(first, other) == ["y"]
  assert not model_digest.differing(first, first)


def test_long_lists_of_tensors_are_cut():
  assert model_digest.describe(["a", "b"]) == "'a', 'b'"
  assert model_digest.describe(list("abcde")) == "'a', 'b', 'c' and 2 more"


def test_rows_are_hashed_while_they_are_copied(source_of, monkeypatch):
  source = source_of("3")
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 300)
  hashed = model_digest.Hashed(source)
  with pytest.raises(TensorError, match=r"'model\.embed_tokens\.weight' was"):
    hashed.result()
  for name, spec in hashed.specs.items():
    for start, stop in tensors.blocks(spec):
      hashed.rows(name, start, stop)
  assert hashed.result() == model_digest.digest(source)
  with pytest.raises(TensorError, match="row 0 was asked for"):
    hashed.rows("model.embed_tokens.weight", 0, 1)


def test_progress_counts_every_byte(source_of):
  source, counted = source_of("3"), []
  model_digest.digest(source, on_bytes=counted.append)
  sizes = map(tensors.num_bytes, source.specs.values())
  assert sum(counted) == sum(sizes)


def test_how_a_model_is_computed_does_not_count(tiny, config):
  x = {"x": np.ones(2, np.float32)}
  other = dataclasses.replace(config, dtype="bfloat16")
  assert model_digest.digest(
    tiny.ArraySource(config, x)
  ) == model_digest.digest(tiny.ArraySource(other, x))
