# SPDX-License-Identifier: Apache-2.0
"""Tests of what the benchmarks of training share."""

import pytest

from ramjax.configs import base
from ramjax.data.rows import TextRow
from ramjax.models import remat
from ramjax.tools import bench_training
from ramjax.trainers import initial_weights


def test_vocabulary_is_halved_until_the_rows_fill_it(tmp_path):
  rows = [TextRow("what is this ", f"number {i} of them") for i in range(99)]
  # They hold fewer than 8,192 pieces, and fewer than 512.
  with pytest.raises(ValueError, match="vocab_size=512 is more than"):
    bench_training.make_tokenizer(tmp_path, rows, 8192, "plain")
  words = [TextRow("", f"w{i * 7919 % 9973:x}q" * 3) for i in range(900)]
  tokenizer = bench_training.make_tokenizer(tmp_path, words, 8192, "plain")
  assert tokenizer.vocab_size in (512, 1024, 2048, 4096)


def test_median_batch_is_that_of_the_median_padded_length():
  lengths = [*[3] * 7, 9, *[3] * 7, 40, *[3] * 7, 20, 99]
  assert bench_training.median_batch(lengths) == range(16, 24)


@pytest.mark.parametrize(("longest", "padded"), [(1, 8), (8, 8), (9, 16)])
def test_raw_batch_is_padded_to_a_multiple(longest, padded):
  assert bench_training.padded_length(longest) == padded


def _summaries():
  def of(tokens, step_s):
    counts = dict(tokens=tokens, supervised=1)
    return dict(
      tokens_per_s=tokens / step_s,
      step_s_median=step_s,
      rounds=[dict(step_s=[step_s], counts=counts)],
    )

  return {"ours": of(300, 0.5), "trl": of(100, 1.0)}


def test_ratios_are_said_with_those_of_each_round():
  rate = bench_training.rate_ratio(_summaries(), "tokens_per_s", "ours", "trl")
  assert rate.sentence == "tokens/s, ours / trl: 6.00 (by round: 6.00)"
  times = bench_training.time_ratio(_summaries(), "ours", "trl")
  assert times.sentence == (
    "step time, ours / trl: 0.50 (by round: 0.50); below 1, ours is faster"
  )


@pytest.mark.parametrize(("size", "billions"), [("1b", 1.24), ("8b", 8.03)])
def test_large_sizes_are_released_shapes_in_rows_of_4096(size, billions):
  config = base.sft()
  bench_training.configure(config, "tasks:9", size, "gpu")
  model = initial_weights.make_model_config(config, platform="gpu")
  assert model.num_parameters == pytest.approx(billions * 1e9, rel=5e-3)
  assert (model.dtype, config.data.max_length) == ("bfloat16", 4096)
  large = bench_training.LARGE[size]
  assert config.data.batch_size == large.rows
  assert large.remat in remat.POLICIES


def test_large_sizes_are_refused_on_a_cpu():
  with pytest.raises(ValueError, match=r"--size=8b .* one of tiny, small\."):
    bench_training.configure(base.sft(), "tasks:9", "8b", "cpu")
