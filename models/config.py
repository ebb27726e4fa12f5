# SPDX-License-Identifier: Apache-2.0
"""`LlamaConfig`: the shape of a Llama, and how it is computed.

The numbers of released models are in `presets.py`.
"""

import dataclasses

from ramjax.models.lora_config import LM_HEAD, LoraConfig

# Fields that say how a model is computed, not what it is.
COMPUTE_FIELDS = ("dtype", "remat", "attention")
ATTENTION_BACKENDS = ("xla", "splash", "cudnn")
DTYPES = ("float32", "bfloat16")
QUANTIZATIONS = ("none", "nf4")
REMAT_POLICIES = (
  "none",
  "dots",
  "save_qkv",
  "save_attention",
  "offload",
  "full",
)
ROPE_SCALINGS = ("linear", "llama3")


@dataclasses.dataclass(frozen=True)
class RopeScaling:
  """How rotary frequencies are stretched past the pre-training context.

  Attributes:
    kind: "linear" divides every frequency by `factor`; "llama3" divides the
      low ones, keeps the high ones and blends between (Llama 3.1 release).
    factor: Stretch of the context, at least 1.
    low_freq_factor: llama3 only. Wavelengths longer than
      `original_max_positions / low_freq_factor` are divided in full.
    high_freq_factor: llama3 only. Wavelengths shorter than
      `original_max_positions / high_freq_factor` are kept.
    original_max_positions: llama3 only. Context length before scaling.
  """

  kind: str
  factor: float
  low_freq_factor: float = 1.0
  high_freq_factor: float = 4.0
  original_max_positions: int = 8192

  def __post_init__(self):
    _one_of("rope scaling kind", self.kind, ROPE_SCALINGS)
    if self.factor < 1:
      raise ValueError(f"rope scaling factor={self.factor} must be at least 1.")
    if self.kind == "llama3" and (
      self.low_freq_factor <= 0 or self.original_max_positions < 1
    ):
      raise ValueError(
        f"low_freq_factor={self.low_freq_factor} must be above 0, and"
        f" original_max_positions={self.original_max_positions} at least 1:"
        " wavelengths are compared with their quotient."
      )
    if self.kind == "llama3" and self.high_freq_factor <= self.low_freq_factor:
      raise ValueError(
        f"high_freq_factor={self.high_freq_factor} must be above"
        f" low_freq_factor={self.low_freq_factor}: the blend between them"
        " divides by their difference."
      )


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
  """Shape of a Llama and how its forward pass is computed; hashable, static.

  Attributes:
    vocab_size: V, rows of the embedding.
    width: D, of the residual stream.
    mlp_width: F, of the gated hidden layer.
    num_layers: L.
    num_heads: N, query heads.
    num_kv_heads: K, key and value heads; divides `num_heads`.
    head_dim: H, of one head; even.
    rope_theta: Base of the rotary frequencies.
    rope_scaling: Stretch of those frequencies, or None.
    norm_eps: Added to the mean square in RMSNorm.
    tie_embeddings: Whether the LM head is the transposed embedding.
    max_positions: Longest context the weights were trained for.
    qkv_bias: Whether query, key and value add a bias (Qwen2).
    sliding_window: Keys a query sees, its own included (Mistral); None is all
      before it.
    num_labels: Outputs of the score head that stands in the LM head's place
      (a reward model has 1); 0 is a language model.
    dtype: Of activations and matmuls. Parameters are float32 masters; norms,
      softmax and log-probabilities are float32 always.
    remat: What the backward pass computes again, by the name of a policy of
      `remat.py`: from "none" (nothing) to "full" (everything inside a layer).
    attention: Backend by name: "xla" anywhere, "splash" on TPU, "cudnn" on GPU;
      `attention.choose_backend` picks one.
    lora: Adapters, the only parameters then trained; or None.
    quantization: Of the frozen layer matrices: "none", or "nf4" (QLoRA).
  """

  vocab_size: int
  width: int
  mlp_width: int
  num_layers: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  rope_theta: float = 10_000.0
  rope_scaling: RopeScaling | None = None
  norm_eps: float = 1e-5
  tie_embeddings: bool = False
  max_positions: int = 2048
  qkv_bias: bool = False
  sliding_window: int | None = None
  num_labels: int = 0
  dtype: str = "float32"
  remat: str = "none"
  attention: str = "xla"
  lora: LoraConfig | None = None
  quantization: str = "none"

  def __post_init__(self):
    for name in (
      "vocab_size",
      "width",
      "mlp_width",
      "num_layers",
      "num_heads",
      "num_kv_heads",
      "head_dim",
      "max_positions",
    ):
      if getattr(self, name) < 1:
        raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
    if self.num_heads % self.num_kv_heads:
      raise ValueError(
        f"num_heads={self.num_heads} must be a multiple of"
        f" num_kv_heads={self.num_kv_heads}: each KV head serves a whole"
        " number of query heads."
      )
    if self.head_dim % 2:
      raise ValueError(
        f"head_dim={self.head_dim} must be even: RoPE rotates pairs."
      )
    if self.sliding_window is not None and self.sliding_window < 1:
      raise ValueError(
        f"sliding_window={self.sliding_window} must be at least 1, or None:"
        " a query sees at least its own key."
      )
    if self.num_labels < 0:
      raise ValueError(
        f"num_labels={self.num_labels} must be 0 (a language model) or more."
      )
    _one_of("dtype", self.dtype, DTYPES)
    _one_of("remat", self.remat, REMAT_POLICIES)
    _one_of("attention", self.attention, ATTENTION_BACKENDS)
    _one_of("quantization", self.quantization, QUANTIZATIONS)
    if self.lora is not None:
      self._check_lora(self.lora)

  def _check_lora(self, lora: LoraConfig) -> None:
    for module in lora.modules:
      expected = 1 if module.name == LM_HEAD else self.num_layers
      if len(module.ranks) != expected:
        raise ValueError(
          f"LoRA module {module.name} has {len(module.ranks)} ranks and the"
          f" model {expected}: give one per layer (one for {LM_HEAD})."
        )
      if module.name == LM_HEAD and (self.tie_embeddings or self.num_labels):
        raise ValueError(
          f"LoRA on {LM_HEAD} needs an LM head of its own: this model's is"
          " tied to the embedding or replaced by a score head. Take it out of"
          " lora.targets."
        )

  @property
  def num_parameters(self) -> int:
    """Number of scalars, the head included (no LM head when tied)."""
    attention = 2 * self.width * self.head_dim
    attention *= self.num_heads + self.num_kv_heads
    if self.qkv_bias:
      attention += (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
    mlp = 3 * self.width * self.mlp_width
    layers = self.num_layers * (attention + mlp + 2 * self.width)
    head = self.num_labels
    if not self.num_labels and not self.tie_embeddings:
      head = self.vocab_size
    return layers + (self.vocab_size + 1 + head) * self.width


def _one_of(name: str, given: str, allowed: tuple[str, ...]) -> None:
  if given not in allowed:
    raise ValueError(f"{name}={given!r} is not one of {', '.join(allowed)}.")
