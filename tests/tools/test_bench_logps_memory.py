# SPDX-License-Identifier: Apache-2.0
"""Tests of the memory that log-probabilities are said to take."""

from ramjax.tools import bench_logps_memory

REPORT = dict(
  logps=800_000_000,
  gaps=1_600_000_000,
  full=16_000_000_000,
  gradients=2_400_000_000,
)


def test_shares_are_of_what_full_logits_take():
  finding = bench_logps_memory.finding(REPORT)
  assert finding.figures["shares"] == {"logps": 0.05, "gaps": 0.1}
  assert "0.80 and 1.60 GB" in finding.sentence
  assert "0.050 and 0.100 of that (below 0.25)" in finding.sentence


def test_more_than_the_limit_is_said():
  finding = bench_logps_memory.finding({**REPORT, "gaps": 4_100_000_000})
  assert "(NOT below 0.25)" in finding.sentence


def test_chunks_take_less_than_a_quarter_of_full_logits():
  shape = dict(rows=8, length=2048, width=8, vocab_size=1024)
  report = bench_logps_memory.measure(shape)
  logits = 8 * 2048 * 1024 * 4
  # The logits, and their gradient.
  assert 2 * logits <= report["full"] < 3 * logits
  assert report["logps"] < bench_logps_memory.LIMIT * report["full"]
  assert report["gaps"] < bench_logps_memory.LIMIT * report["full"]
  # Of the hidden states and of the head.
  assert report["gradients"] >= 4 * (8 * 2048 * 8 + 8 * 1024)
