# SPDX-License-Identifier: Apache-2.0
"""TRL's side of `ramjax bench sft`: its `SFTTrainer`."""

# The peer's packages are an extra, which type checks run without.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.tools import bench_sft, bench_trl, bench_trl_inputs

# A token that is not supervised.
_NO_LABEL = -100


def main(argv: Sequence[str]) -> int:
  """Child process: measures the case in SPEC, into OUT."""
  return bench_trl.run_child(argv, _SIDE)


def _trainer() -> Any:
  from trl import SFTTrainer

  return SFTTrainer


def _overrides(spec: Mapping[str, Any]) -> dict[str, Any]:
  """What TRL infers for prompt and completion; tokenised rows do not tell."""
  del spec
  return dict(completion_only_loss=True)


def _arguments(spec: Mapping[str, Any]) -> dict[str, Any]:
  """Tokenised rows: all in their order, or the raw batch again and again."""
  import datasets

  folder = pathlib.Path(spec["folder"])
  name, repeats = "examples.npz", 1
  if spec["batch"] == "raw":
    name, repeats = "raw.npz", spec["warmup"] + spec["steps"]
  examples = bench_sft.load_examples(folder / name)
  rows = datasets.Dataset.from_dict(
    {
      "input_ids": repeats * [x.tokens.tolist() for x in examples],
      "completion_mask": repeats
      * [x.response_mask.astype(int).tolist() for x in examples],
    }
  )
  return dict(model=bench_trl_inputs.make_model(spec), train_dataset=rows)


def _prepared(rows: Any) -> dict[str, int]:
  return dict(
    examples=len(rows),
    tokens=sum(map(len, rows["input_ids"])),
    supervised_tokens=sum(
      label != _NO_LABEL for labels in rows["labels"] for label in labels
    ),
  )


_SIDE = bench_trl.Side(
  trainer=_trainer,
  config="SFTConfig",
  telling=("packing",),
  overrides=_overrides,
  arguments=_arguments,
  supervised=lambda inputs: inputs["labels"] != _NO_LABEL,
  prepared=_prepared,
)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
