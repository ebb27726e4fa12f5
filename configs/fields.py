# SPDX-License-Identifier: Apache-2.0
"""What the trees of `base.py` are made of: groups of fields, with their defaults."""

from ml_collections import ConfigDict, config_dict


def model() -> dict:
  """The shape; None is that of the preset."""
  return dict(
    # A name in models/presets.py; "" where `init` says what the model is.
    preset="",
    vocab_size=config_dict.placeholder(int),
    width=config_dict.placeholder(int),
    mlp_width=config_dict.placeholder(int),
    num_layers=config_dict.placeholder(int),
    num_heads=config_dict.placeholder(int),
    num_kv_heads=config_dict.placeholder(int),
    head_dim=config_dict.placeholder(int),
    tie_embeddings=config_dict.placeholder(bool),
    max_positions=config_dict.placeholder(int),
    # float32 is right on CPU; bfloat16 on TPU and GPU.
    dtype="float32",
    # What the backward pass computes again: models/remat.py has the names.
    remat="none",
    # "splash" on TPU, "cudnn" on GPU, "xla" anywhere; "auto" is the fastest that
    # can do what the run needs.
    attention="auto",
  )


def lora() -> dict:
  """Adapters."""
  return dict(
    # Of every adapter; 0 trains the whole model.
    rank=0,
    alpha=16.0,
    # Regular expressions for the end of a linear layer's path, such as
    # layers/3/attention/query or lm_head.
    targets=("attention/.*", "mlp/.*"),
    # Exceptions, as (pattern, rank); the first match counts, 0 is no adapter.
    rank_pattern=(),
    # Scale by alpha / sqrt(rank) instead of alpha / rank.
    rslora=False,
    # Learn magnitudes apart from directions.
    dora=False,
    # "nf4" keeps the frozen layers in 4 bits (QLoRA).
    quantize_base="none",
  )


def data() -> dict:
  """Rows and batches."""
  return dict(
    sources=ConfigDict(),
    template="plain",
    # Tokens per row; a longer example is truncated.
    max_length=512,
    # Rows per update, over all devices, in `num_microbatches` parts.
    batch_size=8,
    num_microbatches=1,
    pack=True,
    # Share of bad rows put into workdir/quarantine; 0 stops at the first.
    max_bad_share=0.0,
  )


def optim() -> dict:
  """The optimizer and its schedule."""
  return dict(
    name="adamw",
    learning_rate=1e-3,
    schedule="cosine",
    warmup_steps=100,
    # Of the peak learning rate, at the end.
    final_share=0.1,
    b1=0.9,
    b2=0.95,
    eps=1e-8,
    weight_decay=0.1,
    clip_norm=1.0,
    # Above 0 keeps a moving average of the weights and evaluates that.
    ema_decay=0.0,
    # Updates in a row that may be skipped, since loss or gradient is no number
    # or a spike; one more stops the run. 0 skips none and stops at the first
    # that is no number.
    max_skipped=0,
    # Above 0, a loss or gradient norm so many deviations above the mean of the
    # last `spike_window` updates is a spike (6 is usual). Needs max_skipped.
    spike_sigma=0.0,
    spike_window=128,
  )


def run() -> dict:
  """How long, and what beside it."""
  return dict(
    total_steps=1000,
    log_every=10,
    tensorboard=False,
    wandb_project="",
    # Compiled programs are kept here between launches; "" keeps none. Several
    # CPU devices keep none: XLA can hang in one that it reads back.
    compilation_cache="~/.cache/ramjax/xla",
    # Stop at the first step if its figures cannot be right.
    first_step_checks=True,
    # Have `ramjax doctor` look at the data first, and stop at "errors" or at
    # "warnings"; "off" does not look.
    require_doctor="off",
    # Continue a workdir with a config or data that differ from its own.
    allow_config_change=False,
    # Where no step ends for so many seconds, write what every thread does, and
    # end the process with status 76 after twice as many. 0 is off.
    watchdog_seconds=1800.0,
    # The same for what takes longer: to read data, weights and a checkpoint, and
    # to compile, evaluate, benchmark, sample and save.
    watchdog_long_seconds=7200.0,
    # Steps between two comparisons of what several devices hold copies of; 0
    # compares never.
    check_replicas_every=0,
    # Steps to trace into workdir/profile for xprof, such as "10-12"; "" none.
    profile_steps="",
    # Show the whole traceback of an error.
    tracebacks=False,
  )


def no_model() -> dict:
  """A model that may be named; none where both are ""."""
  return dict(
    # A Hugging Face folder, or a run's (or what `ramjax convert` wrote).
    from_hf="",
    from_run="",
    # Of from_run: which checkpoint (the newest), and whether the moving average
    # of its weights.
    step=config_dict.placeholder(int),
    average=False,
  )


def reference() -> dict:
  """What the policy is compared with."""
  return dict(
    # The model that the policy is compared with: a Hugging Face folder, or a
    # run's; the run's own start where both are "".
    **no_model(),
    # A folder for its log-probabilities of every row: computed once, then read;
    # "" computes them in each step.
    cache="",
    # Above 0, the reference follows the policy: after so many updates it moves
    # by `sync_rate` of the way (TR-DPO).
    sync_every=0,
    sync_rate=1.0,
  )


def answer_rows() -> dict:
  """How rows with several answers are laid out."""
  return dict(
    # Tokens of a row of the batch, which holds whole groups of answers; None
    # is max_length for each answer of a group.
    row_length=config_dict.placeholder(int),
    # Compute a prompt once for all of its answers.
    share_prompt=True,
  )


def policy_loss() -> dict:
  """What a policy-gradient update minimises."""
  return dict(
    # What a ratio is of: "token", or the whole "sequence" (GSPO).
    ratio="token",
    # A ratio beyond 1 - clip_low or 1 + clip_high teaches nothing more.
    clip_low=0.2,
    clip_high=0.2,
    # Above 1, also bounds what a bad answer that got likelier costs.
    dual_clip=config_dict.placeholder(float),
    # Each counts once: "token" (DAPO), "sequence" (GRPO), or "constant": sums
    # over rollout.max_new_tokens, answer by answer (Dr. GRPO).
    reduction="token",
    # The KL divergence from the reference: its coefficient (0: no reference),
    # its estimator (k1, k2, k3, abs, k1_clamped), and whether it is a penalty
    # in the "reward" or a term of the "loss".
    kl_coef=0.05,
    kl_estimator="k1",
    kl_in="reward",
    # Above 0, the coefficient adapts so that an answer's KL comes to so many
    # nats, over about kl_horizon answers.
    kl_target=0.0,
    kl_horizon=10_000,
    # Of the critic's loss, and how far its values may move in an update.
    value_coef=0.1,
    value_clip=0.2,
    # Above 0, weighs tokens by how much likelier the trainer finds them than
    # the sampler did, up to this (truncated importance sampling).
    importance_cap=0.0,
    chunk_size=1024,
  )


def credit() -> dict:
  """From scores to advantages."""
  return dict(
    # "gae" (PPO), "group" (GRPO, RLOO) or "returns" (REINFORCE++).
    name="gae",
    gamma=1.0,
    lam=0.95,
    # Of a score, within its group: less the "mean", or that of the others
    # ("leave_one_out"), or "none"; over the group's "std", or "none".
    baseline="none",
    scale="none",
    # Advantages of a rollout to mean 0 and deviation 1.
    whiten=True,
  )


def rollout(*, group_size: int) -> dict:
  """How answers are sampled."""
  return dict(
    # Prompts of a rollout, and answers to each.
    prompts=64,
    group_size=group_size,
    max_new_tokens=128,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    # Answers that are sampled at a time.
    num_slots=64,
    # Devices that the model is split over while it samples; None keeps the mesh
    # of the updates.
    tensor_parallel=config_dict.placeholder(int),
  )


def judge() -> dict:
  """Who reads answers and writes numbers."""
  return dict(
    # Who reads the answers and writes a number: "" nobody, "policy" the model
    # of the round (self-rewarding), "model" the one named here.
    role="",
    **no_model(),
    weight=1.0,
    # Of the named model; "" is data.template.
    chat_template="",
    # A name in evals/judge.py, or a text with {prompt} and {response} in it.
    template="additive",
    # Its last match in what the judge writes; the group is the number.
    pattern=r"Score:\s*([0-9]+(?:\.[0-9]+)?)",
    lowest=0.0,
    highest=5.0,
    # Verdicts on an answer, whose mean counts.
    samples=1,
    temperature=0.7,
    top_p=0.9,
    max_new_tokens=256,
  )
