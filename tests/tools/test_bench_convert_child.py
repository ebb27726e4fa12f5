# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.tools.bench_convert_child."""

import os
import pathlib

import numpy as np
import pytest

from ramjax.tools import bench_convert_child

pytestmark = pytest.mark.skipif(
  not pathlib.Path("/proc/self/status").exists(), reason="memory is Linux's"
)


def test_memory_grows_by_an_array_and_not_by_a_mapped_file(tmp_path):
  size = 50 * 2**20
  path = tmp_path / "file"
  path.write_bytes(bytes(size))
  before = bench_convert_child.resident_bytes("self")
  mapped = np.memmap(path, np.uint8, "r")
  assert int(mapped.sum(dtype=np.int64)) == 0
  between = bench_convert_child.resident_bytes(os.getpid())
  kept = np.ones(size, np.uint8)
  after = bench_convert_child.resident_bytes("self")
  assert before is not None and between is not None and after is not None
  assert between - before < size / 2 < after - between
  assert kept.nbytes == size


def test_a_process_that_is_gone_has_no_memory():
  # The largest number of a process is below this.
  assert bench_convert_child.resident_bytes(2**31 - 1) is None


def test_a_command_that_fails_is_said_with_its_log(tmp_path):
  argv = ["from-hf", str(tmp_path / "none"), str(tmp_path / "run")]
  with pytest.raises(
    bench_convert_child.ConversionError, match="from-hf ended with status 1"
  ) as caught:
    bench_convert_child.run(argv, tmp_path / "log")
  assert "FileNotFoundError" in str(caught.value)
