# SPDX-License-Identifier: Apache-2.0
"""Our weights in the shape that TRL takes them, and a tokenizer for show."""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ramjax.models import hf_config
from ramjax.models.config import LlamaConfig
from ramjax.tools import bench_training

# Ours, under `layers/`, stacked -> theirs, under `model.layers.I.`.
_LAYER_NAMES = {
  "attention/query/kernel": "self_attn.q_proj.weight",
  "attention/key/kernel": "self_attn.k_proj.weight",
  "attention/value/kernel": "self_attn.v_proj.weight",
  "attention/output/kernel": "self_attn.o_proj.weight",
  "mlp/gate/kernel": "mlp.gate_proj.weight",
  "mlp/up/kernel": "mlp.up_proj.weight",
  "mlp/down/kernel": "mlp.down_proj.weight",
  "attention_norm/scale": "input_layernorm.weight",
  "mlp_norm/scale": "post_attention_layernorm.weight",
}


def hf_fields(model: LlamaConfig) -> dict[str, Any]:
  """The fields of a `transformers` config for our shape, as JSON has them."""
  ids = dict(bos_token_id=1, eos_token_id=2, pad_token_id=bench_training.PAD_ID)
  return {**hf_config.to_hf(model, dtype="float32"), **ids}


def make_model(spec: Mapping[str, Any], weights: str = "weights.npz") -> Any:
  """A `LlamaForCausalLM` of our shape, with our initial weights.

  Args:
    spec: `hf_config`, from `hf_fields`, and `folder`, which holds the weights.
    weights: The file in it.
  """
  import torch
  import transformers

  config = transformers.LlamaConfig.from_dict(spec["hf_config"])
  model = transformers.LlamaForCausalLM(config)
  with np.load(pathlib.Path(spec["folder"]) / weights) as stored:
    named = hf_weights(dict(stored))
  model.load_state_dict({k: torch.tensor(v) for k, v in named.items()})
  return model


def hf_weights(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  """Our parameters under Hugging Face's names, in its layout.

  Args:
    weights: Ours by path, "layers/mlp/up/kernel" say; matrices [in, out],
      those of the layers stacked.

  Returns:
    One array a layer and matrix, [out, in].
  """
  embedding = weights["embed/embedding"]
  head = weights.get("lm_head/kernel", embedding.T)
  named = {
    "model.embed_tokens.weight": embedding,
    "model.norm.weight": weights["final_norm/scale"],
    "lm_head.weight": head.T,
  }
  for ours, theirs in _LAYER_NAMES.items():
    for layer, value in enumerate(weights[f"layers/{ours}"]):
      named[f"model.layers.{layer}.{theirs}"] = value.T
  return named


def make_tokenizer() -> Any:
  """Four special tokens: rows come tokenised, TRL only asks for <pad>'s id."""
  import tokenizers
  from transformers import PreTrainedTokenizerFast

  vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "<pad>": bench_training.PAD_ID}
  model = tokenizers.models.WordLevel(vocabulary, unk_token="<unk>")
  return PreTrainedTokenizerFast(
    tokenizer_object=tokenizers.Tokenizer(model),
    unk_token="<unk>",
    bos_token="<s>",
    eos_token="</s>",
    pad_token="<pad>",
  )
