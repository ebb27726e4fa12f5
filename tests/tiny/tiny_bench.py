# SPDX-License-Identifier: Apache-2.0
"""A machine whose peaks are round numbers, for tests of benchmarks."""

from ramjax.tools.bench_calls import Peaks

PEAKS = Peaks(
  "cpu",
  "a CPU",
  1e9,
  1e9,
  "measured",
  {"dtype": "float32", "best": 1e9, "copy_bytes_per_s": 1e9},
)
