# SPDX-License-Identifier: Apache-2.0
"""What adds up between two lines of the log."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ramjax.losses.weighted_mean import WeightedMean
from ramjax.trainers.step import GATE_PREFIX


@dataclasses.dataclass(frozen=True)
class BatchCounts:
  """What a batch holds: places (padding included), tokens, supervised ones."""

  places: int
  tokens: int
  supervised: int


@dataclasses.dataclass
class LogInterval:
  """Sums since the last logged step."""

  sums: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  sampled: dict[str, list[float]] = dataclasses.field(default_factory=dict)
  places: int = 0
  tokens: int = 0
  supervised: int = 0
  steps: int = 0
  start: float = dataclasses.field(default_factory=time.monotonic)

  def to_json(self) -> dict[str, Any]:
    """All but the clock, which does not run between two processes."""
    fields = dataclasses.asdict(self)
    del fields["start"]
    return fields

  def add(
    self,
    metrics: Mapping[str, WeightedMean],
    counts: BatchCounts,
    sampled: Mapping[str, float],
  ) -> None:
    """Adds a step.

    Args:
      metrics: Of its update; {} where that was skipped.
      counts: Of its batch.
      sampled: Of the rollout that was made for it; else {}.
    """
    for name, mean in metrics.items():
      if name.startswith(GATE_PREFIX):
        continue
      pair = self.sums.setdefault(name, [0.0, 0.0])
      pair[0] += float(mean.total)
      pair[1] += float(mean.weight)
    self.places += counts.places
    self.tokens += counts.tokens
    self.supervised += counts.supervised
    self.steps += 1
    for name, value in sampled.items():
      pair = self.sampled.setdefault(name, [0.0, 0.0])
      pair[0] += value
      pair[1] += 1

  def metrics(
    self, progress: Mapping[str, Any], learning_rate: float
  ) -> dict[str, float]:
    """The line: means over updates and rollouts, counts, speed.

    Args:
      progress: Counts of the whole run.
      learning_rate: Of the last step.
    """
    seconds = max(time.monotonic() - self.start, 1e-9)
    means = {
      f"train/{name}": total / weight if weight else 0.0
      for name, (total, weight) in self.sums.items()
    }
    sampled = {name: total / n for name, (total, n) in self.sampled.items()}
    counts = ("tokens", "supervised_tokens", "skipped")
    return {
      **means,
      **sampled,
      "train/learning_rate": learning_rate,
      **{
        f"train/{name}": progress[name] for name in counts if name in progress
      },
      "train/tokens_per_s": self.tokens / seconds,
      "train/supervised_tokens_per_s": self.supervised / seconds,
      "train/padding_share": 1 - self.tokens / self.places,
      "train/step_s": seconds / self.steps,
    }
