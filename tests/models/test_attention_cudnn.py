# SPDX-License-Identifier: Apache-2.0
"""cuDNN: segments by offsets and lengths, refusals, and on a GPU its results."""

import contextlib
import glob
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ramjax.data import packing
from ramjax.models import attention, attention_cudnn, sharding

_TINY = pathlib.Path(__file__).parents[1] / "tiny/tiny_attention.py"


# Jitted: each operation by itself would be a program to compile.
_packed = jax.jit(attention_cudnn.packed_segments, static_argnums=1)


def test_hand_values_of_offsets_and_lengths():
  ids = np.array([[1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 3, 3]])
  packed = _packed(ids, 3)
  # Padding is a segment too: what is in none is not written.
  assert packed.lengths.tolist() == [[2, 3, 1], [6, -1, -1]]
  assert packed.offsets.tolist() == [[0, 2, 5, -1], [0, -1, -1, -1]]
  assert packed.too_many.tolist() == [False, False]


@pytest.mark.parametrize(
  "changed,expected",
  [
    ({}, True),
    ({"capability": "12.0"}, True),
    ({"capability": None}, True),
    ({"capability": "8.9"}, False),
    ({"dtype": "float32"}, False),
    ({"branches": True}, False),
    ({"split_rows": True}, False),
  ],
)
def test_auto_takes_it_for_what_it_does_alone(changed, expected):
  asked = dict(
    dtype="bfloat16", branches=False, split_rows=False, capability="9.0"
  )
  assert attention_cudnn.serves(**{**asked, **changed}) is expected


def test_a_row_of_more_segments_than_there_is_room_for_is_told():
  ids = np.array([[1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 0, 0]])
  packed = _packed(ids, 2)
  assert packed.too_many.tolist() == [True, False]


@pytest.mark.parametrize("length", [8, 100, 127, 512, 1000, 4096, 4100, 9000])
def test_there_is_room_for_what_is_packed_into_a_row(length):
  filled_up = length + -length % 128
  # And for the row's own padding and for what fills it up.
  needed = packing.most_segments(length) + 2
  assert attention_cudnn.max_segments(filled_up) >= needed


def _shapes(dtype=jnp.bfloat16, head_dim=64, rows=4, length=200):
  query = jax.ShapeDtypeStruct((rows, length, 8, head_dim), dtype)
  key = jax.ShapeDtypeStruct((rows, length, 4, head_dim), dtype)
  ids = jax.ShapeDtypeStruct((rows, length), jnp.int32)
  return query, key, key, ids


def _total(query, key, value, segment_ids, branch_ids=None):
  output = attention.attend(
    query,
    key,
    value,
    segment_ids=segment_ids,
    branch_ids=branch_ids,
    backend="cudnn",
  )
  return jnp.sum(output.astype(jnp.float32))


@pytest.mark.parametrize(
  "given,wording",
  [
    (dict(dtype=jnp.float32), r"not float32: set model\.dtype='bfloat16'"),
    (dict(head_dim=60), r"multiple of 8 and at most 128, not 60: set"),
    (dict(head_dim=192), r"at most 128, not 192: set model\.attention='xla'"),
  ],
)
def test_what_the_kernel_does_not_do_is_refused(given, wording):
  with (
    attention_cudnn.ahead_of_time(),
    pytest.raises(ValueError, match=wording),
  ):
    jax.eval_shape(_total, *_shapes(**given))


def test_branches_are_refused_with_what_to_set():
  shapes = _shapes()
  with pytest.raises(ValueError, match=r"Set data\.share_prompt=False"):
    jax.eval_shape(_total, *shapes, shapes[-1])


def test_rows_over_several_devices_are_refused():
  with (
    attention_cudnn.ahead_of_time(),
    jax.set_mesh(sharding.make_mesh(dict(fsdp=4, sequence=2))),
    pytest.raises(ValueError, match=r"set mesh\.sequence=1"),
  ):
    jax.eval_shape(_total, *_shapes())


def test_a_machine_without_such_a_gpu_is_refused_when_it_runs():
  with pytest.raises(ValueError, match=r"needs a Hopper GPU .* cpu:0"):
    jax.eval_shape(_total, *_shapes())


@pytest.mark.parametrize("sizes", [None, dict(fsdp=4, tensor=2)])
def test_packed_rows_are_lowered_to_the_kernels(sizes):
  over = contextlib.nullcontext()
  if sizes is not None:
    over = jax.set_mesh(sharding.make_mesh(sizes))
  with attention_cudnn.ahead_of_time(), over:
    lowered = (
      jax.jit(jax.grad(_total, (0, 1, 2)))
      .trace(*_shapes())
      .lower(lowering_platforms=("cuda",))
    )
  text = lowered.as_text()
  assert re.findall(r"__cudnn\$\w+", text) == [
    "__cudnn$fmhaSoftmax",
    "__cudnn$fmhaSoftmaxBackward",
  ]
  # Causal within each of up to 32 + 2 segments; rows filled to 256 tokens.
  assert text.count("PADDING_CAUSAL") == 2
  assert text.count(r"max_seg_per_batch\22: 34") == 2
  rows, heads = (4, 8) if sizes is None else (1, 4)
  assert f"tensor<{rows}x256x{heads}x64xbf16>" in text


def test_looking_ahead_ends_with_its_block():
  with attention_cudnn.ahead_of_time():
    pass
  with pytest.raises(ValueError, match="needs a Hopper GPU"):
    jax.eval_shape(_total, *_shapes())


@pytest.mark.slow
@pytest.mark.skipif(not glob.glob("/dev/nvidia[0-9]*"), reason="no GPU")
def test_on_a_gpu_it_equals_xla_and_leaks_nothing():
  # A process of its own: this one is on the CPU.
  run = subprocess.run(
    [sys.executable, str(_TINY), "cudnn"],
    env=os.environ | {"JAX_PLATFORMS": "cuda", "XLA_FLAGS": ""},
    capture_output=True,
    text=True,
    check=True,
    timeout=600,
  )
  differences = json.loads(run.stdout.splitlines()[-1])
  assert differences.pop("leak") == 0
  # Of the largest number, in bfloat16; NaN fails as well.
  assert np.all(np.array(list(differences.values())) < 2e-2), differences
