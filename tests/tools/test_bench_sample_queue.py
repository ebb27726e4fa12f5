# SPDX-License-Identifier: Apache-2.0
"""The queue of `ramjax bench sample`: its lengths, its file, its counts."""

import time

import numpy as np

from ramjax.tools import bench_sample_queue


def _made(tmp_path, **options):
  path = tmp_path / "queue.npz"
  bench_sample_queue.save(path, vocab_size=50, **options)
  return bench_sample_queue.load(dict(folder=str(tmp_path), queue=path.name))


def test_lengths_span_their_range_and_are_long_tailed(tmp_path):
  prompts, limits = _made(tmp_path, num=2000, even=False)
  lengths = np.array([len(prompt) for prompt in prompts])
  assert (lengths.min(), lengths.max()) == bench_sample_queue.PROMPT_TOKENS
  assert (limits.min(), limits.max()) == bench_sample_queue.ANSWER_TOKENS
  # Log-uniform: the middle is the geometric mean, 64 of 16 to 256.
  assert 60 < np.median(limits) < 68 < 80 < limits.mean()
  tokens = np.concatenate(prompts)
  assert tokens.dtype == np.int32 and 4 <= tokens.min() < tokens.max() < 50


def test_an_even_queue_is_of_32_tokens_and_32(tmp_path):
  prompts, limits = _made(tmp_path, num=5, even=True)
  assert [len(prompt) for prompt in prompts] == limits.tolist() == [32] * 5


def test_a_queue_is_the_same_each_time(tmp_path):
  one = _made(tmp_path, num=6, even=False)
  other = _made(tmp_path, num=6, even=False)
  np.testing.assert_array_equal(
    np.concatenate(one[0]), np.concatenate(other[0])
  )
  np.testing.assert_array_equal(one[1], other[1])


def test_whole_passes_are_measured_until_the_time_is_over(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(time, "perf_counter", lambda: now[0])
  numbers = []

  def one_pass(number):
    numbers.append(number)
    now[0] += 2.0

  times = bench_sample_queue.timed(one_pass, dict(seconds=5.0))
  assert times == [2.0, 2.0, 2.0] and numbers == [1, 2, 3]


def test_counts_are_those_of_all_passes():
  made = bench_sample_queue.report(
    [1.0, 2.0], np.array([3, 4]), np.array([4] * 2)
  )
  assert made["counts"] == {"supervised": 14, "places": 16}
