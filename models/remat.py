# SPDX-License-Identifier: Apache-2.0
"""Rematerialisation: what a layer keeps for its backward pass, by name.

Model code names values where they are made, and a policy here says which of
them live until the backward pass, on the device or in the host's memory; what
is not kept is computed again. Every policy keeps the input of each layer, D.

Per token and layer, in numbers of the activations' dtype, with N query and K
KV heads of H, width D and MLP width F; and the bytes at Llama 3.1 8B in bfloat16
(D=4096, N=32, K=8, H=128, F=14336), where D itself is 8 KiB:

| policy | keeps, besides D | 8B | computes again |
|---|---|---|---|
| none | every operand of a gradient | all | nothing |
| dots | NH + 2KH + D + 2F | 76 KiB | norms, rotation, attention, silu |
| save_qkv | 2NH + 2KH, N float32 | 20.1 KiB | norms, output, MLP |
| save_attention | NH, N float32 | 8.1 KiB | the same, query, key, value |
| offload | as save_qkv, on the host | 0 | as save_qkv |
| full | nothing | 0 | everything |

The N float32 numbers are the log-sum-exp of splash's softmax: with it and the
output, the backward pass does not run the forward kernel again. The XLA backend
has none, and computes the softmax again; cuDNN's is not named, and its kernel
runs again.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

# Names of values; see `jax.ad_checkpoint.checkpoint_name`.
QKV = "qkv"  # Query and key after rotation, value: [B, T, N or K, H].
CONTEXT = "context"  # Attention's output [B, T, N, H], and its log-sum-exp.

_POLICIES = jax.checkpoint_policies

# "none" is no rematerialisation at all.
POLICIES: Mapping[str, Callable[..., Any]] = {
  "full": _POLICIES.nothing_saveable,
  "dots": _POLICIES.dots_with_no_batch_dims_saveable,
  "save_attention": _POLICIES.save_only_these_names(CONTEXT),
  "save_qkv": _POLICIES.save_only_these_names(QKV, CONTEXT),
  "offload": _POLICIES.save_and_offload_only_these_names(
    names_which_can_be_saved=[],
    names_which_can_be_offloaded=[QKV, CONTEXT],
    offload_src="device",
    offload_dst="pinned_host",
  ),
}
