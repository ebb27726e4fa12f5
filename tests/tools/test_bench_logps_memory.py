# SPDX-License-Identifier: Apache-2.0
"""Tests of the memory that log-probabilities are said to take."""

from ramjax.tools import bench_logps_memory

REPORT = dict(
  full_logits=8_400_000_000,
  temporary=700_000_000,
  output=140_000_000,
  resident=1_100_000_000,
)


def test_share_is_of_full_logits():
  finding = bench_logps_memory.finding(REPORT)
  assert finding.figures["share"] == 0.1
  assert "0.84 GB as compiled" in finding.sentence
  assert "0.100 of full logits (below 0.25)" in finding.sentence


def test_more_than_the_limit_is_said():
  finding = bench_logps_memory.finding({**REPORT, "temporary": 2_100_000_000})
  assert "(NOT below 0.25)" in finding.sentence


def test_chunks_take_less_than_a_quarter_of_full_logits():
  shape = dict(rows=8, length=2048, width=8, vocab_size=1024)
  report = bench_logps_memory.measure(shape)
  assert report["full_logits"] == 8 * 2048 * 1024 * 4
  assert report["output"] >= 4 * (8 * 2048 * 8 + 8 * 1024)
  planned = report["temporary"] + report["output"]
  assert planned < bench_logps_memory.LIMIT * report["full_logits"]
