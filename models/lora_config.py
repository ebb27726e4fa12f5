# SPDX-License-Identifier: Apache-2.0
"""`LoraConfig`: which linear layers have a low-rank adapter, and of what rank.

A module is named as in the parameter tree: `layers/3/attention/query`, or
`lm_head`. The layers of one kind are stacked, so ranks are lists over layers.
"""

import dataclasses
import re
from collections.abc import Sequence

LAYER_MODULES = (
  "attention/query",
  "attention/key",
  "attention/value",
  "attention/output",
  "mlp/gate",
  "mlp/up",
  "mlp/down",
)
LM_HEAD = "lm_head"


@dataclasses.dataclass(frozen=True)
class LoraModule:
  """The adapters of one kind of linear layer.

  Attributes:
    name: One of `LAYER_MODULES`, or "lm_head".
    ranks: Of each layer (one entry for "lm_head"); 0 is no adapter there.
    alphas: Of each layer; the update is scaled by alpha / rank.
  """

  name: str
  ranks: tuple[int, ...]
  alphas: tuple[float, ...]

  def __post_init__(self):
    if self.name not in (*LAYER_MODULES, LM_HEAD):
      raise ValueError(
        f"LoRA module {self.name!r} is not one of"
        f" {', '.join((*LAYER_MODULES, LM_HEAD))}."
      )
    if min(self.ranks, default=-1) < 0 or max(self.ranks) < 1:
      raise ValueError(
        f"LoRA ranks={self.ranks} of {self.name}: each must be at least 0, and"
        " one of them at least 1."
      )
    if len(self.alphas) != len(self.ranks):
      raise ValueError(
        f"{self.name} has {len(self.ranks)} LoRA ranks and"
        f" {len(self.alphas)} alphas: give one of each per layer."
      )

  @property
  def rank(self) -> int:
    """The largest rank: the stacked arrays have this size."""
    return max(self.ranks)


@dataclasses.dataclass(frozen=True)
class LoraConfig:
  """Adapters of a model.

  Attributes:
    modules: One entry per kind of linear layer that has any.
    rslora: Scale by alpha / sqrt(rank) (arXiv 2312.03732, equation 3) instead
      of alpha / rank (arXiv 2106.09685, section 4.1).
    dora: Learn each output's magnitude apart from its direction (arXiv
      2402.09353, equation 5).
  """

  modules: tuple[LoraModule, ...]
  rslora: bool = False
  dora: bool = False

  def __post_init__(self):
    names = [module.name for module in self.modules]
    if not names or len(set(names)) != len(names):
      raise ValueError(
        f"LoRA modules={names} must name at least one, and each once."
      )

  def module(self, name: str) -> LoraModule | None:
    """The adapters of one kind of linear layer, or None."""
    for module in self.modules:
      if module.name == name:
        return module
    return None

  def scales(self, name: str) -> tuple[float, ...]:
    """What each layer's update is multiplied by; 0 where there is none."""
    module = self.module(name)
    assert module is not None
    power = 0.5 if self.rslora else 1.0
    return tuple(
      alpha / rank**power if rank else 0.0
      for rank, alpha in zip(module.ranks, module.alphas, strict=True)
    )


def module_paths(num_layers: int) -> list[str]:
  """Every linear layer an adapter may stand at, as patterns see it."""
  layers = [
    f"layers/{layer}/{name}"
    for layer in range(num_layers)
    for name in LAYER_MODULES
  ]
  return [*layers, LM_HEAD]


def choose_modules(
  num_layers: int,
  *,
  rank: int,
  alpha: float,
  targets: Sequence[str],
  rank_pattern: Sequence[tuple[str, int]] = (),
  rslora: bool = False,
  dora: bool = False,
) -> LoraConfig:
  """The adapters that patterns ask for.

  A pattern is a regular expression for the end of a module's path: "query"
  and "attention/.*" match in every layer, "layers/[0-3]/mlp/up" in four.

  Args:
    num_layers: L.
    rank: Of every module that `targets` match.
    alpha: Of all of them.
    targets: Patterns of the modules that get an adapter.
    rank_pattern: Exceptions, as (pattern, rank); the first match counts, and 0
      means no adapter.
    rslora: See `LoraConfig`.
    dora: See `LoraConfig`.

  Returns:
    The config.

  Raises:
    ValueError: A rank or alpha out of range, or a pattern that matches nothing.
  """
  if rank < 1 or alpha <= 0:
    raise ValueError(
      f"lora.rank={rank} must be at least 1 and lora.alpha={alpha} above 0."
    )
  paths = module_paths(num_layers)
  for pattern in (*targets, *(pattern for pattern, _ in rank_pattern)):
    if not any(_matches(pattern, path) for path in paths):
      raise ValueError(
        f"LoRA pattern {pattern!r} matches no linear layer. It is a regular"
        " expression for the end of a path; the paths are layers/0 to"
        f" layers/{num_layers - 1}, each with {', '.join(LAYER_MODULES)}; and"
        f" {LM_HEAD}."
      )
  ranks: dict[str, list[int]] = {}
  for path in paths:
    name = path if path == LM_HEAD else path.split("/", 2)[2]
    chosen = 0
    if any(_matches(pattern, path) for pattern in targets):
      exceptions = [r for p, r in rank_pattern if _matches(p, path)]
      chosen = exceptions[0] if exceptions else rank
    ranks.setdefault(name, []).append(chosen)
  return LoraConfig(
    modules=tuple(
      LoraModule(name, tuple(of_layer), (float(alpha),) * len(of_layer))
      for name, of_layer in ranks.items()
      if any(of_layer)
    ),
    rslora=rslora,
    dora=dora,
  )


def _matches(pattern: str, path: str) -> bool:
  try:
    return re.fullmatch(rf"(?:.*/)?(?:{pattern})", path) is not None
  except re.error as error:
    raise ValueError(
      f"LoRA pattern {pattern!r} is not a regular expression: {error}."
    ) from error
