# SPDX-License-Identifier: Apache-2.0
"""What the shipped configs of one size have in common: data only."""

from typing import Any

from ramjax.configs import base

# Answers of random weights are noise: some have a digit in them, some have not.
DIGIT = dict(pattern="[0-9]", mode="search")
TINY_REWARDS = dict(task=dict(weight=1.0), pattern=dict(weight=0.1, **DIGIT))


def tiny(config: Any) -> Any:
  """The 0.9M preset on generated pairs, 20 updates: it runs, and no more.

  Args:
    config: A tree of `base`, changed in place.

  Returns:
    The same tree.
  """
  config.model.preset = "tiny"
  config.data.sources.main = base.source("task_pairs:1000?seed=0", eval_rows=64)
  config.data.max_length = 128
  config.data.batch_size = 8
  config.optim.learning_rate = 1e-4
  config.optim.warmup_steps = 5
  config.run.total_steps = 20
  config.evals.every_steps = 10
  config.evals.num_prompts = 0
  config.checkpoint.every_steps = 20
  return config


def llama3_8b(config: Any) -> Any:
  """Llama 3 8B Instruct on pairs of your own, for 8 chips of 96 GiB.

  What a paper does not say is as in SimPO's comparison of methods (arXiv
  2405.14734 and its authors' code): 128 pairs an update, 2,048 tokens, AdamW
  with 5e-7 for DPO, warm-up over 10 %, cosine to 0, and one epoch of the 61,135
  pairs of UltraFeedback.

  Args:
    config: A tree of `base`, changed in place.

  Returns:
    The same tree.
  """
  config.init.from_hf = "Meta-Llama-3-8B-Instruct"
  config.model.preset = "llama3_8b"
  config.model.dtype = "bfloat16"
  config.model.remat = "full"
  config.data.sources.main = base.source("pairs.jsonl", eval_rows=1000)
  config.data.template = "llama3"
  config.data.max_length = 2048
  # A row holds one pair, so that batch_size counts pairs as papers do.
  config.data.pack = False
  config.data.batch_size = 128
  config.data.num_microbatches = 16
  config.optim.learning_rate = 5e-7
  config.optim.schedule = "cosine"
  config.optim.warmup_steps = 48
  config.optim.final_share = 0.0
  config.optim.b2 = 0.999
  config.optim.weight_decay = 0.0
  config.run.total_steps = 477
  config.evals.every_steps = 100
  config.evals.max_new_tokens = 512
  config.checkpoint.every_steps = 100
  return config


def llama3_1(config: Any, size: str) -> Any:
  """Llama 3.1 Instruct on a pod: packed rows of 4,096 tokens.

  `ramjax plan` says which slices hold it; see `tools/plan_checks.json`.

  Args:
    config: A tree of `base`, changed in place.
    size: "8b", 16 rows an update, or "70b", 64 rows.

  Returns:
    The same tree.
  """
  config.init.from_hf = f"Llama-3.1-{size.upper()}-Instruct"
  config.model.preset = f"llama3_1_{size}"
  config.model.dtype = "bfloat16"
  config.model.remat = "full"
  config.data.sources.main = base.source("rows.jsonl", eval_rows=500)
  config.data.template = "llama3_1"
  config.data.max_length = 4096
  if "row_length" in config.data:
    # A pair of 2,048 tokens each, or many short ones.
    config.data.max_length = 2048
    config.data.row_length = 4096
  config.data.batch_size = {"8b": 16, "70b": 64}[size]
  config.optim.schedule = "linear"
  config.optim.warmup_steps = 60
  config.optim.final_share = 0.0
  config.optim.weight_decay = 0.0
  config.run.total_steps = 2000
  config.evals.every_steps = 200
  config.checkpoint.every_steps = 200
  return config


def quickstart_stage(config: Any) -> Any:
  """What follows the quickstart's fine-tuning: 30 updates on its tasks.

  Args:
    config: A tree of `base`, changed in place.

  Returns:
    The same tree.
  """
  _after_the_quickstart(config)
  # Other tasks than those of the fine-tuning, which are those of seed 0.
  config.data.sources.pairs = base.source(
    "task_pairs:6000?seed=1", eval_path="task_pairs:256?seed=2"
  )
  config.data.max_length = 128
  config.data.row_length = 256
  config.data.batch_size = 16
  config.optim.warmup_steps = 5
  config.run.total_steps = 30
  config.evals.num_prompts = 256
  return config


def quickstart_online(config: Any) -> Any:
  """What follows the quickstart's fine-tuning by its own answers: 40 updates.

  Args:
    config: A tree of `policy_methods`, changed in place.

  Returns:
    The same tree.
  """
  _after_the_quickstart(config)
  config.data.sources.tasks = base.source(
    "tasks:20000?seed=1", eval_path="tasks:512?seed=2"
  )
  # Several groups share a row, so that every update has about as many rows:
  # another number is another program to compile.
  config.data.max_length = 384
  config.data.batch_size = 512
  config.data.num_microbatches = 4
  config.rollout.prompts = 512 // config.rollout.group_size
  config.rollout.max_new_tokens = 32
  config.rollout.num_slots = 128
  # So few updates do not stray far.
  config.loss.kl_coef = 0.0
  config.optim.schedule = "linear"
  config.optim.final_share = 0.0
  config.optim.warmup_steps = 2
  config.run.total_steps = 40
  config.run.log_every = 2
  config.evals.num_prompts = 512
  config.evals.sample = True
  return config


def _after_the_quickstart(config: Any) -> None:
  config.init.from_run = "runs/quickstart"
  config.model.remat = "dots"
  config.optim.learning_rate = 3e-4
  config.optim.weight_decay = 0.0
  config.evals.every_steps = 0
  config.evals.num_samples = 24
  config.evals.max_new_tokens = 32
  config.checkpoint.every_steps = 0


def tiny_online(config: Any) -> Any:
  """The 0.9M preset on generated tasks, 8 updates: it runs, and no more.

  Args:
    config: A tree of `policy_methods`, changed in place.

  Returns:
    The same tree.
  """
  config.model.preset = "tiny"
  config.data.sources.main = base.source("tasks:1000?seed=0", eval_rows=64)
  config.data.max_length = 128
  config.data.batch_size = 16
  config.rollout.prompts = 32 // config.rollout.group_size
  config.rollout.max_new_tokens = 16
  config.rollout.num_slots = 16
  config.optim.learning_rate = 1e-4
  config.optim.warmup_steps = 2
  config.run.total_steps = 8
  config.evals.every_steps = 0
  config.evals.num_prompts = 8
  config.evals.max_new_tokens = 16
  config.checkpoint.every_steps = 4
  return config


def llama3_8b_online(config: Any) -> Any:
  """Llama 3 8B Instruct on prompts of your own, for 8 chips of 96 GiB.

  Args:
    config: A tree of `policy_methods`, changed in place.

  Returns:
    The same tree.
  """
  config.init.from_hf = "Meta-Llama-3-8B-Instruct"
  config.model.preset = "llama3_8b"
  config.model.dtype = "bfloat16"
  config.model.remat = "full"
  config.data.sources.main = base.source("prompts.jsonl", eval_rows=256)
  config.data.template = "llama3"
  config.data.max_length = 2048
  config.data.batch_size = 512
  config.data.num_microbatches = 16
  config.rollout.prompts = 512 // config.rollout.group_size
  config.rollout.max_new_tokens = 1024
  config.rollout.num_slots = 256
  config.optim.learning_rate = 1e-6
  config.optim.schedule = "constant"
  config.optim.warmup_steps = 10
  config.optim.b2 = 0.999
  config.optim.weight_decay = 0.0
  config.run.total_steps = 500
  config.evals.every_steps = 50
  config.evals.num_prompts = 256
  config.evals.max_new_tokens = 1024
  config.checkpoint.every_steps = 50
  return config
