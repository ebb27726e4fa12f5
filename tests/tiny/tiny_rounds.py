# SPDX-License-Identifier: Apache-2.0
"""Rounds of a tiny model on forty prompts, and what stands for a kill."""

import json

import tiny_model_folder

from ramjax.configs import base

STEPS = 3


def write_start(root):
  """Writes a model and prompts there; returns `root`."""
  tiny_model_folder.write(root / "model")
  prompts = [
    {"prompt": [{"role": "user", "content": f"word {i} and"}]}
    for i in range(40)
  ]
  text = "".join(json.dumps(prompt) + "\n" for prompt in prompts)
  (root / "prompts.jsonl").write_text(text)
  return root


def make_config(folder, fit=None, **select):
  """Two rounds, each of a short run of DPO or of `fit`."""
  fit = base.preference(dpo=dict(weight=1.0, beta=0.5)) if fit is None else fit
  fit.init.from_hf = str(folder / "model")
  fit.data.sources.main = base.source(
    str(folder / "prompts.jsonl"), eval_rows=4
  )
  fit.data.max_length = 60
  fit.data.batch_size = 4
  fit.optim.warmup_steps = 1
  fit.run.total_steps = STEPS
  config = base.rounds(
    fit,
    select=select or dict(name="best_and_worst"),
    rewards=dict(length=dict(weight=1.0, max_characters=10)),
  )
  config.rollout.prompts = 6
  config.rollout.group_size = 4
  config.rollout.max_new_tokens = 8
  # Chunks of four prompts, and so two of them.
  config.rollout.num_slots = 4
  config.evals.num_prompts = 3
  config.evals.max_new_tokens = 8
  return config


class Crash(Exception):
  """Stands for a kill."""


def crash(*_, **__):
  """In the place of what must not be reached, or is where the kill comes."""
  raise Crash
