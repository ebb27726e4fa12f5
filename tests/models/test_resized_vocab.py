# SPDX-License-Identifier: Apache-2.0
"""More and fewer rows: what is kept, what is new, what is refused."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

from ramjax.models import hf_names, tensors
from ramjax.models.lora_config import LoraConfig, LoraModule
from ramjax.models.resized_vocab import ResizedVocab

_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def _all(source, name):
  return source.rows(name, 0, source.specs[name].shape[0])


@pytest.mark.parametrize("case,names", [("3", 2), ("3_2", 1)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_old_rows_are_kept_and_new_ones_are_their_mean(
  source_of, case, names, dtype
):
  source = source_of(case, dtype)
  old = source.config.vocab_size
  resized = ResizedVocab(source, old + 5)
  assert resized.config == dataclasses.replace(
    source.config, vocab_size=old + 5
  )
  shapes = {name: spec.shape for name, spec in resized.specs.items()}
  assert shapes == hf_names.hf_shapes(resized.config)
  changed = [n for n in resized.specs if resized.specs[n] != source.specs[n]]
  assert changed == [_EMBEDDING, _HEAD][:names]
  for name in resized.specs:
    rows, before = _all(resized, name), _all(source, name)
    if name not in changed:
      assert rows is before or rows.tobytes() == before.tobytes()
      continue
    assert rows.dtype == before.dtype and rows.shape[0] == old + 5
    assert rows[:old].tobytes() == before.tobytes()
    mean = np.mean(before.astype(np.float64), axis=0)
    for row in rows[old:]:
      if dtype == "float32":
        np.testing.assert_allclose(row, mean, rtol=0, atol=1e-6)
      np.testing.assert_array_equal(row, mean.astype(dtype))


def test_any_block_is_that_of_the_whole(source_of):
  source = source_of("3")
  old = source.config.vocab_size
  resized = ResizedVocab(source, old + 4)
  whole = _all(resized, _HEAD)
  for start in range(old - 3, old + 4):
    for stop in range(start + 1, old + 5):
      rows = resized.rows(_HEAD, start, stop)
      np.testing.assert_array_equal(rows, whole[start:stop])


def test_the_mean_is_summed_in_float64_over_blocks(source_of, monkeypatch):
  """10,000 equal numbers: a running sum in bfloat16 would stop at 256."""
  monkeypatch.setattr(tensors, "BLOCK_BYTES", 2**12)
  source = source_of("3_2", "bfloat16")
  width = source.config.width
  value = ml_dtypes.bfloat16(1.0078125)
  source.arrays[_EMBEDDING] = np.full((10_000, width), value)
  config = dataclasses.replace(source.config, vocab_size=10_000)
  source.config = config
  source.specs[_EMBEDDING] = tensors.TensorSpec((10_000, width), "bfloat16")
  resized = ResizedVocab(source, 10_001)
  assert (resized.rows(_EMBEDDING, 10_000, 10_001) == value).all()
  assert len(source.reads) > 100
  # The mean is read once, whatever is asked for.
  count = len(source.reads)
  resized.rows(_EMBEDDING, 10_000, 10_001)
  assert len(source.reads) == count


def test_zeros_read_nothing(source_of):
  source = source_of("3")
  old = source.config.vocab_size
  resized = ResizedVocab(source, old + 2, init="zeros")
  assert not resized.rows(_HEAD, old, old + 2).any()
  assert not source.reads


def test_rows_that_were_padding_can_be_made_anew(source_of):
  source = source_of("3")
  old = source.config.vocab_size
  resized = ResizedVocab(source, old, num_kept=10)
  before, rows = _all(source, _HEAD), _all(resized, _HEAD)
  np.testing.assert_array_equal(rows[:10], before[:10])
  mean = np.mean(before[:10].astype(np.float64), axis=0)
  np.testing.assert_array_equal(
    rows[10:], np.tile(mean, (old - 10, 1)).astype("f4")
  )


def test_fewer_rows_are_the_first_ones(source_of):
  source = source_of("3")
  resized = ResizedVocab(source, 7)
  np.testing.assert_array_equal(_all(resized, _HEAD), _all(source, _HEAD)[:7])
  assert resized.specs[_EMBEDDING].shape[0] == resized.config.vocab_size == 7


def test_a_score_head_keeps_its_rows(source_of):
  source = source_of("llama_3_labels")
  resized = ResizedVocab(source, source.config.vocab_size + 1)
  assert resized.specs["score.weight"].shape[0] == 3


def test_what_cannot_be_resized_is_refused(source_of):
  source = source_of("3")
  old = source.config.vocab_size
  with pytest.raises(ValueError, match="init='random' is not one of mean"):
    ResizedVocab(source, old, init="random")
  with pytest.raises(ValueError, match="must be from 1 to"):
    ResizedVocab(source, 0)
  with pytest.raises(ValueError, match=f"num_kept={old + 1} with"):
    ResizedVocab(source, old + 2, num_kept=old + 1)
  lora = LoraConfig((LoraModule("lm_head", (2,), (2.0,)),))
  source.config = dataclasses.replace(source.config, lora=lora)
  with pytest.raises(ValueError, match="merge them"):
    ResizedVocab(source, old + 2)
