# SPDX-License-Identifier: Apache-2.0
"""Five pairs of answers, models to score them, and the command that does."""

import dataclasses
import json
import pathlib
from typing import Any

import tiny_model_folder

from ramjax.tools import eval as eval_command

REWARD = dataclasses.replace(
  tiny_model_folder.CONFIG, num_labels=1, tie_embeddings=False
)
WORDS = [
  ("word 1 and 7", "word 2, then", "more"),
  ("more of it", "word 3", "then word 4 and word 5"),
  ("word 9", "of it and 3", "of it and 4"),
  ("word 12", "and more of it, then more", "it"),
  ("then 5", "word", "word 6 and 7, then word 8"),
]


def make_pairs():
  """Records, of two subsets."""

  def turn(role, content):
    return [{"role": role, "content": content}]

  return [
    {
      "prompt": turn("user", question),
      "chosen": turn("assistant", chosen),
      "rejected": turn("assistant", rejected),
      "subset": ("odd", "even")[i % 2],
    }
    for i, (question, chosen, rejected) in enumerate(WORDS)
  ]


def write_folders(root):
  """Writes a reward model and two language models there; returns `root`."""
  tiny_model_folder.write(root / "reward", REWARD, seed=3)
  tiny_model_folder.write(root / "policy")
  tiny_model_folder.write(root / "other", seed=1)
  return root


def jsonl(folder, records, name="pairs.jsonl"):
  path = folder / name
  path.write_text("".join(json.dumps(record) + "\n" for record in records))
  return path


def evaluate(data, model, *argv) -> Any:
  """The evaluation and the scores; None where it failed."""
  out = pathlib.Path(data).parent / "out"
  # Batches of one shape for every number of pairs: few programs are compiled.
  argv = ["--batch-size=3", *argv]
  argv = [f"--data={data}", f"--model={model}", f"--out={out}", *argv]
  if eval_command.main(["preference", "--template=plain", *argv]):
    return None, None
  lines = (out / "scores.jsonl").read_text().splitlines()
  found = json.loads((out / "evaluation.json").read_text())
  return found, [json.loads(line) for line in lines]
