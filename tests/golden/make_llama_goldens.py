# SPDX-License-Identifier: Apache-2.0
"""Writes llama_*.npz and llama_tiny_params.txt.

The first are small random models in Hugging Face names, one for each
generation of Llama, with the logits (and once the gradients) that transformers
computes. The second lists every parameter: a line that changes there means
that older checkpoints no longer load. The models and their mapping are here
and nowhere else; the tests import this file.

Run it where torch and transformers are installed, after a change of `CASES`:

    python tests/golden/make_llama_goldens.py
"""

import argparse
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from ramjax.models import llama, presets
from ramjax.models.config import LlamaConfig, RopeScaling

FOLDER = pathlib.Path(__file__).parent
LISTING = FOLDER / "llama_tiny_params.txt"
GRADIENTS = FOLDER / "llama_gradients.npz"
# The case whose gradients are stored: grouped heads, an LM head of its own.
GRADIENTS_OF = "3"

_LENGTH = 12


class Case(NamedTuple):
  """A small model, and where the positions of its second row start."""

  config: LlamaConfig
  start: int


def _case(start: int, **overrides: Any) -> Case:
  shape: dict[str, Any] = dict(
    vocab_size=64,
    width=32,
    mlp_width=48,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    # Not width / num_heads, and wide enough that the scaled RoPEs have pairs
    # that are kept, blended and slowed.
    head_dim=16,
    max_positions=131_072,
  )
  return Case(LlamaConfig(**(shape | overrides)), start)


# What differs between released models: heads per KV head, the RMSNorm epsilon,
# the RoPE base and scaling, tied embeddings. The second row starts beyond the
# context of the pre-training.
CASES: dict[str, Case] = {
  "1": _case(9000, num_kv_heads=4, norm_eps=1e-6),
  "2_70b": _case(9000, num_heads=8, num_kv_heads=2, head_dim=8),
  "3": _case(9000, rope_theta=500_000.0),
  "3_1": _case(
    100_000, rope_theta=500_000.0, rope_scaling=RopeScaling("llama3", 8.0)
  ),
  "3_2": _case(
    100_000,
    rope_theta=500_000.0,
    rope_scaling=RopeScaling("llama3", 32.0),
    tie_embeddings=True,
  ),
  "linear": _case(
    9000,
    num_kv_heads=1,
    rope_scaling=RopeScaling("linear", 4.0),
    tie_embeddings=True,
  ),
}

_ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "o"}
_MLP = ("gate", "up", "down")
_NORMS = {
  "attention_norm": "input_layernorm",
  "mlp_norm": "post_attention_layernorm",
}


def params_from_hf(state: dict[str, np.ndarray], config: LlamaConfig) -> Any:
  """Our tree of arrays in Hugging Face names and layouts.

  They store a matrix as [out, in] and each layer by itself; we, [in, out] and
  all layers stacked. Works for weights and for gradients.
  """

  def stacked(name: str) -> np.ndarray:
    return np.stack(
      [
        state[f"model.layers.{i}.{name}.weight"].T
        for i in range(config.num_layers)
      ]
    )

  layers: dict[str, Any] = {
    "attention": {
      ours: {"kernel": stacked(f"self_attn.{theirs}_proj")}
      for ours, theirs in _ATTENTION.items()
    },
    "mlp": {name: {"kernel": stacked(f"mlp.{name}_proj")} for name in _MLP},
  }
  for ours, theirs in _NORMS.items():
    layers[ours] = {"scale": stacked(theirs)}
  params: dict[str, Any] = {
    "embed": {"embedding": state["model.embed_tokens.weight"]},
    "layers": layers,
    "final_norm": {"scale": state["model.norm.weight"]},
  }
  if not config.tie_embeddings:
    params["lm_head"] = {"kernel": state["lm_head.weight"].T}
  return params


def random_state(config: LlamaConfig, seed: int) -> dict[str, np.ndarray]:
  """Random float32 weights in Hugging Face names, of unit-sized logits.

  The untied embedding is small, so that its mean square (4e-4) shows whether
  the epsilon of the norms is 1e-5 or 1e-6.
  """
  rng = np.random.default_rng(seed)

  def normal(*shape: int, std: float) -> np.ndarray:
    return (std * rng.standard_normal(shape)).astype(np.float32)

  def matrix(inputs: int, outputs: int) -> np.ndarray:
    return normal(outputs, inputs, std=inputs**-0.5)

  width, mlp_width = config.width, config.mlp_width
  query_width = config.num_heads * config.head_dim
  kv_width = config.num_kv_heads * config.head_dim
  std = width**-0.5 if config.tie_embeddings else 0.02
  state = {
    "model.embed_tokens.weight": normal(config.vocab_size, width, std=std),
    "model.norm.weight": 1 + normal(width, std=0.2),
  }
  if not config.tie_embeddings:
    state["lm_head.weight"] = matrix(width, config.vocab_size)
  for i in range(config.num_layers):
    layer = {
      "self_attn.q_proj": matrix(width, query_width),
      "self_attn.k_proj": matrix(width, kv_width),
      "self_attn.v_proj": matrix(width, kv_width),
      "self_attn.o_proj": matrix(query_width, width),
      "mlp.gate_proj": matrix(width, mlp_width),
      "mlp.up_proj": matrix(width, mlp_width),
      "mlp.down_proj": matrix(mlp_width, width),
      "input_layernorm": 1 + normal(width, std=0.2),
      "post_attention_layernorm": 1 + normal(width, std=0.2),
    }
    for name, weight in layer.items():
      state[f"model.layers.{i}.{name}.weight"] = weight
  return state


def hf_config(config: LlamaConfig) -> Any:
  """The `transformers.LlamaConfig` of the same model."""
  import transformers

  rope: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": config.rope_theta,
  }
  scaling = config.rope_scaling
  if scaling is not None:
    rope |= {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
      rope |= {
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.original_max_positions,
      }
  return transformers.LlamaConfig(
    vocab_size=config.vocab_size,
    hidden_size=config.width,
    intermediate_size=config.mlp_width,
    num_hidden_layers=config.num_layers,
    num_attention_heads=config.num_heads,
    num_key_value_heads=config.num_kv_heads,
    head_dim=config.head_dim,
    rope_parameters=rope,
    rms_norm_eps=config.norm_eps,
    tie_word_embeddings=config.tie_embeddings,
    max_position_embeddings=config.max_positions,
  )


def _hf_model(config: LlamaConfig, state: dict[str, np.ndarray], dtype: str):
  """transformers' model with weights `state`, computing in `dtype`."""
  import torch
  import transformers

  model = transformers.AutoModelForCausalLM.from_config(
    hf_config(config),
    dtype=getattr(torch, dtype),
    attn_implementation="eager",
  )
  weights = {name: torch.tensor(weight) for name, weight in state.items()}
  if config.tie_embeddings:
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
  model.load_state_dict(weights)
  if model.model.rotary_emb.inv_freq.dtype != torch.float32:
    raise RuntimeError(
      "transformers rounded the RoPE frequencies: no reference."
    )
  return model.eval()


def hf_outputs(
  config: LlamaConfig,
  state: dict[str, np.ndarray],
  tokens: np.ndarray,
  positions: np.ndarray,
) -> dict[str, Any]:
  """Logits in float32 and bfloat16, loss and gradients by transformers.

  Returns:
    `logits` and `logits_bf16`, float32 [B, T, V]; `loss`, the mean over the
    B * (T - 1) next tokens in nats; `gradients` of it, in Hugging Face names.
  """
  import torch

  torch.set_num_threads(1)
  inputs = dict(
    input_ids=torch.tensor(tokens, dtype=torch.long),
    position_ids=torch.tensor(positions, dtype=torch.long),
    # Given, or else the positions would be read as packed segments.
    attention_mask=torch.ones(tokens.shape, dtype=torch.long),
  )
  with torch.no_grad():
    rounded = _hf_model(config, state, "bfloat16")(**inputs).logits
  model = _hf_model(config, state, "float32")
  output = model(**inputs, labels=inputs["input_ids"])
  output.loss.backward()
  return {
    "logits": output.logits.detach().numpy(),
    "logits_bf16": rounded.float().numpy(),
    "loss": output.loss.detach().numpy(),
    "gradients": {
      name: parameter.grad.numpy()
      for name, parameter in model.named_parameters()
    },
  }


def inputs_of(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Random tokens and their positions, each int32 [2, T]."""
  rng = np.random.default_rng([seed, 1])
  tokens = rng.integers(0, case.config.vocab_size, (2, _LENGTH))
  positions = np.array([[0], [case.start]]) + np.arange(_LENGTH)[None]
  return tokens.astype(np.int32), positions.astype(np.int32)


def fixture_path(name: str) -> pathlib.Path:
  """Where the fixture of a case is."""
  return FOLDER / f"llama_{name}.npz"


def params_listing() -> str:
  """Path, shape and logical axes of every parameter, tied and untied."""
  lines = []
  for tied in (True, False):
    config = presets.llama_config("tiny", tie_embeddings=tied)
    lines.append(f"# preset tiny, tie_embeddings={tied}")
    shapes, axes = llama.abstract_params(config)
    for path, leaf in jax.tree_util.tree_leaves_with_path(shapes):
      names = axes
      for entry in path:
        names = names[entry.key]
      name = "/".join(entry.key for entry in path)
      shape = ",".join(map(str, leaf.shape))
      lines.append(f"{name} {leaf.dtype}[{shape}] {','.join(names)}")
  return "\n".join(lines) + "\n"


def main() -> None:
  """Writes every golden file."""
  argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  ).parse_args()
  LISTING.write_text(params_listing())
  sys.stdout.write(f"wrote {LISTING}\n")
  for seed, (name, case) in enumerate(CASES.items()):
    state = random_state(case.config, seed)
    tokens, positions = inputs_of(case, seed)
    outputs = hf_outputs(case.config, state, tokens, positions)
    np.savez_compressed(
      fixture_path(name),
      tokens=tokens,
      positions=positions,
      logits=outputs["logits"],
      logits_bf16=outputs["logits_bf16"],
      **state,  # type: ignore
    )
    sys.stdout.write(f"wrote {fixture_path(name)}\n")
    if name == GRADIENTS_OF:
      np.savez_compressed(
        GRADIENTS, loss=outputs["loss"], **outputs["gradients"]
      )
      sys.stdout.write(f"wrote {GRADIENTS}\n")


if __name__ == "__main__":
  main()
