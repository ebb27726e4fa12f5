# SPDX-License-Identifier: Apache-2.0
"""TRL's side of `ramjax bench preference`: its `DPOTrainer`."""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.tools import bench_preference_pairs, bench_trl, bench_trl_inputs


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  return bench_trl.run_child(argv, _SIDE)


def _trainer() -> Any:
  from trl import DPOTrainer

  class TokenisedDPOTrainer(DPOTrainer):
    """Takes tokens as they are: TRL 1.16 itself only tokenises text."""

    def _prepare_dataset(self, dataset, *rest, **named):
      return dataset

  return TokenisedDPOTrainer


def _overrides(spec: Mapping[str, Any]) -> dict[str, Any]:
  return dict(beta=spec["config"]["loss"]["terms"]["dpo"]["beta"])


def _arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
  """Tokenised pairs: all in their order, or the raw batch again and again."""
  import datasets

  raw = spec["batch"] == "raw"
  folder = pathlib.Path(spec["folder"])
  pairs = bench_preference_pairs.load(
    folder / ("raw.npz" if raw else "pairs.npz")
  )
  repeats = spec["warmup"] + spec["steps"] if raw else 1
  rows = datasets.Dataset.from_dict(
    {
      "prompt_ids": repeats * [pair.prompts[0].tolist() for pair in pairs],
      "chosen_ids": repeats * [pair.responses[0].tolist() for pair in pairs],
      "rejected_ids": repeats * [pair.responses[1].tolist() for pair in pairs],
    }
  )
  reference = "raw_reference.npz" if raw else "weights.npz"
  return dict(
    model=bench_trl_inputs.make_model(spec),
    # TRL would look for a copy of the model on disk.
    ref_model=bench_trl_inputs.make_model(spec, reference),
    train_dataset=rows,
  )


def _prepared(rows: Any) -> dict[str, int]:
  prompts, *answers = (
    sum(map(len, rows[name]))
    for name in ("prompt_ids", "chosen_ids", "rejected_ids")
  )
  return dict(
    examples=len(rows),
    tokens=2 * prompts + sum(answers),
    supervised_tokens=sum(answers),
  )


_SIDE = bench_trl.Side(
  trainer=_trainer,
  config="DPOConfig",
  telling=("beta", "precompute_ref_log_probs"),
  overrides=_overrides,
  arguments=_arguments,
  supervised=lambda inputs: inputs["completion_mask"],
  prepared=_prepared,
)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
