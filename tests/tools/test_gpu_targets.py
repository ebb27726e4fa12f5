# SPDX-License-Identifier: Apache-2.0
"""What XLA is told of a GPU: its text, and which GPUs it is known of."""

import pytest

from ramjax.tools import gpu_targets, topologies


def _lines(name):
  topology = topologies.find_topology(name)
  return gpu_targets.target_config(topology).splitlines()


def test_text_is_a_field_a_line_and_quotes_strings_alone():
  lines = _lines("h200:8")
  assert lines[0] == 'platform_name: "CUDA"'
  assert "ecc_enabled: true" in lines
  assert "device_memory_size: 151397597184" in lines
  start = lines.index("cuda_compute_capability {")
  assert lines[start + 1 : start + 5] == [
    "major: 9",
    "minor: 0",
    "feature_extension: ACCELERATED_FEATURES",
    "}",
  ]
  assert sum(line.endswith("{") for line in lines) == lines.count("}") == 3


def test_the_boards_differ_in_their_memory_alone():
  h100, h200 = _lines("h100:8"), _lines("h200:8")
  names = {line.partition(":")[0] for line in set(h100) ^ set(h200)}
  assert names == {
    "device_description_str",
    "name",
    "device_memory_size",
    "memory_bandwidth",
  }


@pytest.mark.parametrize("name", ["a100:8", "b200:8", "v5e:2x4"])
def test_of_others_nothing_is_known(name):
  with pytest.raises(ValueError, match="without one are h100, h200"):
    _lines(name)
