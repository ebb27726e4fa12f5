# SPDX-License-Identifier: Apache-2.0
"""What lies on the host, and how long a step waits for it."""

import pytest
from tiny_plans import described

from ramjax.tools import host_copies, topologies

# 8B, two rows of 4,096 a device: 20 KiB of a token, in each of 32 layers.
_OFFLOADED = 2 * 4096 * 32 * 20 * 2**10
_V5P = topologies.find_topology("v5p:2x2x2")
# The bus to the host.
_RATE = 15e9


def _run(policy, **changes):
  return described("sft_llama3_1_8b", model__remat=policy, **changes)


@pytest.mark.parametrize("parts", [1, 2])
def test_all_microbatches_go_to_the_host(parts):
  run = _run("offload", data__num_microbatches=parts)
  assert host_copies.offloaded_bytes(run) == _OFFLOADED


@pytest.mark.parametrize(
  ("busy", "waited"),
  [
    # 0.358 s there and 0.358 s back, beside a quarter and three quarters.
    (0.0, 2 * _OFFLOADED / _RATE),
    (0.4, 2 * _OFFLOADED / _RATE - 0.1 - 0.3),
    (0.8, _OFFLOADED / _RATE - 0.2),
    (1.44, 0.0),
  ],
)
def test_copies_are_waited_for_as_far_as_matmuls_do_not_hide_them(busy, waited):
  found = host_copies.waited_s(_run("offload"), _V5P, busy)
  assert found == pytest.approx(waited)
  assert host_copies.waited_s(_run("save_qkv"), _V5P, busy) == 0
