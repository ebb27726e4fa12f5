# SPDX-License-Identifier: Apache-2.0
"""A benchmark like AlpacaEval of 20 tasks, and the command on it."""

import gzip
import json
import math
import pathlib

import numpy as np

from ramjax.tools import eval_alpaca

DATA = pathlib.Path(__file__).parents[2].parent / "shared/data/alpaca_eval"
NUM = 20


def share_of(logit):
  """How much a judge is for the model, from 0 to 1."""
  return 1 / (1 + math.exp(-logit))


def _difficulty(i):
  return 1.0 + 0.01 * i if i % 2 else -1.0


def make_rows(num=NUM):
  """Annotations of a model that is preferred where it writes more."""
  rng = np.random.default_rng(0)
  rows = []
  for i in range(num):
    lengths = int(rng.integers(20, 40)), int(rng.integers(20, 60))
    share = share_of(0.05 * (lengths[1] - lengths[0]) + _difficulty(i) - 0.5)
    rows.append(
      {
        "instruction": f"Task {i}",
        "output_1": "x" * lengths[0],
        "generator_1": "gpt4_1106_preview",
        "output_2": "y" * lengths[1],
        "generator_2": "mine",
        "annotator": "weighted_alpaca_eval_gpt4_turbo",
        "preference": 1 + share,
        "time_per_example": 0.5,
      }
    )
  return rows


def outputs_of(rows, side):
  """What the baseline (1) or the model (2) wrote."""
  return [
    {
      "instruction": row["instruction"],
      "output": row[f"output_{side}"],
      "generator": row[f"generator_{side}"],
    }
    for row in rows
  ]


def gamed_tables(num=NUM):
  """Both tables, of tasks 0 to num - 1."""
  rng = np.random.default_rng(1)
  lines = [
    "model,index,preference,std_delta_len,instruction_difficulty,"
    "not_gamed_baseline"
  ]
  for model, sign in (("verbose", -1), ("concise", 1)):
    for i in range(num):
      length = sign * rng.uniform(0, 2)
      label = share_of(_difficulty(i) - length)
      lines.append(f"{model},{i},{label},{length},{_difficulty(i)},False")
  table = ["index,instruction_difficulty"]
  table += [f"{i},{_difficulty(i)}" for i in range(num)]
  return "\n".join(lines) + "\n", "\n".join(table) + "\n"


def write_files(folder):
  """Option -> path of a benchmark of 20 tasks."""
  rows = make_rows()
  gamed, table = gamed_tables()
  texts = {
    "model": ("model_outputs.json", json.dumps(outputs_of(rows, 2))),
    "judge": ("annotations.json", json.dumps(rows)),
    "reference": ("reference_outputs.json", json.dumps(outputs_of(rows, 1))),
    "gamed": ("df_gamed.csv", gamed),
    "difficulty": ("instruction_difficulty.csv", table),
  }
  paths = {}
  for option, (name, text) in texts.items():
    paths[option] = folder / name
    paths[option].write_text(text)
  return paths


def argv_of(files, *options, extra=()):
  """The arguments that name `files` by these options."""
  return [*(f"--{name}={files[name]}" for name in options), *extra]


def run(argv, out):
  """The evaluation that the command writes."""
  assert eval_alpaca.main([*argv, f"--out={out}"]) == 0
  return json.loads((out / "evaluation.json").read_text())


def write_rows(path, rows):
  path.write_text(json.dumps(rows))


def read_lines(path):
  with gzip.open(path, "rt") as file:
    return [json.loads(line) for line in file]
