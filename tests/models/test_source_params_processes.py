# SPDX-License-Identifier: Apache-2.0
"""Two processes load one model: each reads what its own devices hold."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import tiny_compile
import tiny_model_folder

pytestmark = pytest.mark.slow

_SCRIPT = """
import json, sys
import jax
import numpy as np
from ramjax.models import sharding, source_params
from ramjax.models.hf_folder import HFFolder

folder, port, index = sys.argv[1:]
jax.distributed.initialize(f"localhost:{port}", 2, int(index))
mesh = sharding.make_mesh(json.loads(sys.stdin.read()))
inner, read = source_params.LeafLoader._rows, []

def counted(*arguments):
  rows = inner(*arguments)
  read.append(rows.nbytes)
  return rows

source_params.LeafLoader._rows = counted
params = source_params.load_params(HFFolder(folder), mesh)
sums = {}
for path, leaf in jax.tree_util.tree_leaves_with_path(params):
  whole = sum(
    float(np.sum(shard.data, dtype=np.float64))
    for shard in leaf.addressable_shards
    if shard.replica_id == 0
  )
  sums[jax.tree_util.keystr(path)] = whole
print(json.dumps({"bytes": sum(read), "sums": sums}))
"""


def _load(folder, axes):
  with socket.socket() as probe:
    probe.bind(("localhost", 0))
    port = str(probe.getsockname()[1])
  environment = os.environ | {
    "XLA_FLAGS": tiny_compile.quick(2),
    "JAX_PLATFORMS": "cpu",
  }
  processes = [
    subprocess.Popen(
      [sys.executable, "-c", _SCRIPT, str(folder), port, str(index)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      env=environment,
    )
    for index in range(2)
  ]
  for process in processes:
    assert process.stdin is not None
    process.stdin.write(json.dumps(axes))
    process.stdin.close()
    process.stdin = None
  results = []
  for process in processes:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    results.append(json.loads(out))
  return results


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("models") / "hf"
  return folder, tiny_model_folder.write(folder, dtype="bfloat16").arrays


def test_each_reads_its_half_and_the_replicated_norms(model):
  folder, arrays = model
  total = sum(array.nbytes for array in arrays.values())
  norms = sum(a.nbytes for a in arrays.values() if a.ndim == 1)
  for result in _load(folder, {"fsdp": 4}):
    # Both devices of a process share one reading of what is replicated.
    assert result["bytes"] == (total - norms) // 2 + norms


def test_together_they_hold_every_weight_once(model):
  folder, arrays = model
  first, second = _load(folder, {"fsdp": 2, "tensor": 2})
  name = "['layers']['mlp']['up']['kernel']"
  whole = sum(
    np.sum(arrays[f"model.layers.{i}.mlp.up_proj.weight"], dtype=np.float64)
    for i in range(2)
  )
  both = first["sums"][name] + second["sums"][name]
  assert both == pytest.approx(whole, rel=1e-6)
