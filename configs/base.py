# SPDX-License-Identifier: Apache-2.0
"""The complete config tree of each algorithm, with its defaults.

An experiment file starts from one of these and overrides; a field that is not
here is an error. Fields that are None take the model preset's value.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict


def sft() -> ConfigDict:
  """Supervised fine-tuning."""
  loss = dict(
    label_smoothing=0.0,
    z_loss=0.0,
    # Tokens per device whose logits exist at a time.
    chunk_size=1024,
  )
  return _tree("sft", loss)


def preference(**terms: Mapping[str, Any]) -> ConfigDict:
  """Preference optimisation on pairs: DPO and its family, Pairwise Cringe.

  Args:
    **terms: The losses to sum, by their name in `losses/`: `weight` and the
      loss's own options.
  """
  return _answers("preference", terms)


def unpaired(**terms: Mapping[str, Any]) -> ConfigDict:
  """Answers judged one by one: KTO, BCO, Cringe, unlikelihood.

  Args:
    **terms: As for `preference`.
  """
  return _answers("unpaired", terms)


def cut(**terms: Mapping[str, Any]) -> ConfigDict:
  """Contrastive unlikelihood training on answers with a judge's words.

  Args:
    **terms: As for `preference`.
  """
  config = _answers("cut", terms)
  # The judged and the plain prompt differ.
  config.data.share_prompt = False
  return config


def reward(**terms: Mapping[str, Any]) -> ConfigDict:
  """Reward models, on pairs, rankings or ratings.

  Args:
    **terms: As for `preference`; what the rows are follows from the losses.
  """
  config = _tree("reward", dict(terms=_terms(terms)))
  config.unlock()
  config.data.update(_answer_rows())
  config.reward = dict(
    # Outputs of the head: 1, or one an attribute, threshold or class.
    num_labels=1,
    # Standard deviation of its first weights.
    init_std=0.0,
    # Ratings to learn, by their key in the rows.
    attributes=(),
  )
  return _locked(config)


def ppo(**rewards: Mapping[str, Any]) -> ConfigDict:
  """PPO as in RLHF: a critic, a clipped ratio, a KL penalty in the reward.

  Args:
    **rewards: What an answer is worth, by name in `evals/` or of a function of
      the config's own module: `weight`, `clip` and the reward's own options.
  """
  loss = dict(
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
  config = _tree("ppo", loss)
  config.unlock()
  # Answers are packed by what they come to be, into rows of max_length;
  # batch_size counts answers.
  del config.data.pack
  # Compute a prompt once for the answers of its group; they share an update.
  config.data.share_prompt = True
  config.reference = _reference()
  config.rewards = _terms(rewards)
  # A model with a score head that scores answers, too.
  config.reward_model = dict(_no_model(), weight=1.0)
  config.scores = dict(
    # Subtract the running mean of all scores and divide by their deviation.
    normalise=False,
    # Then cut to plus and minus this.
    clip=config_dict.placeholder(float),
  )
  config.rollout = _rollout()
  config.credit = dict(
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
  # What the critic starts from: a reward model; else the policy and a new head.
  config.critic = _no_model()
  config.evals.num_prompts = 64
  # Beside greedy answers to held-out prompts, such as a rollout samples, too.
  config.evals.sample = False
  return _locked(config)


def grpo(**rewards: Mapping[str, Any]) -> ConfigDict:
  """GRPO: no critic; an answer is as good as it is better than its group.

  Args:
    **rewards: As for `ppo`.
  """
  config = ppo(**rewards)
  config.credit.name = "group"
  config.credit.baseline = "mean"
  config.credit.scale = "std"
  config.credit.whiten = False
  config.rollout.group_size = 8
  config.loss.reduction = "sequence"
  config.loss.kl_in = "loss"
  config.loss.kl_estimator = "k3"
  config.loss.kl_coef = 0.04
  return config


def rounds(
  fit: ConfigDict,
  *,
  select: Mapping[str, Any],
  rewards: Mapping[str, Mapping[str, Any]],
) -> ConfigDict:
  """Rounds of sample, score, select and fit: iterative DPO, STaR and kin.

  Args:
    fit: A tree of `sft`, `preference` or `unpaired`, with its model and its
      prompts as `data.sources`. It is taken apart: what all rounds share moves
      to the top, and what only a fit has stays in `config.fit`.
    select: Name of a selection of `trainers/select.py`, and its options.
    rewards: As for `ppo`.
  """
  fit.unlock()
  config: Any = ConfigDict(dict(algorithm="rounds", seed=fit.seed))
  for name in ("init", "model", "tokenizer", "mesh", "run"):
    config[name] = fit[name]
  config.data = ConfigDict(
    {n: fit.data[n] for n in ("sources", "template", "max_length")}
  )
  config.data.max_bad_share = fit.data.max_bad_share
  config.evals = ConfigDict(
    {n: fit.evals[n] for n in ("num_prompts", "num_samples", "max_new_tokens")}
  )
  config.fit = ConfigDict(
    {n: fit[n] for n in ("algorithm", "lora", "loss", "optim", "checkpoint")}
  )
  shared = {"sources", "template", "max_length", "max_bad_share"}
  config.fit.data = ConfigDict(
    {n: fit.data[n] for n in sorted(set(fit.data) - shared)}
  )
  config.fit.run = dict(total_steps=fit.run.total_steps)
  if "reference" in fit:
    own = sorted(set(fit.reference) - set(_no_model()))
    config.fit.reference = ConfigDict({n: fit.reference[n] for n in own})
  del config.run["total_steps"]
  config.rounds = dict(
    num_rounds=2,
    # False only samples and selects: best-of-n, with no model to come of it.
    fit=True,
    # What a round's fit starts from: "last", the newest model, or "first".
    start="last",
    # What a fit with a reference compares with: its "start", or the "first".
    reference="start",
    # Rows that are added in every round; a path as in a source, or "".
    human_rows="",
    # Earlier rounds whose answers are selected from, too.
    replay=0,
  )
  config.rollout = dict(
    # Prompts of a round, which takes the next ones, and answers to each.
    prompts=64,
    group_size=4,
    max_new_tokens=128,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    # Answers that are sampled at a time.
    num_slots=64,
    # As for PPO.
    tensor_parallel=config_dict.placeholder(int),
  )
  config.select = ConfigDict(dict(select))
  config.rewards = _terms(rewards)
  # A model with a score head that scores answers, too.
  config.reward_model = dict(_no_model(), weight=1.0)
  config.judge = _judge()
  _locked(config)
  config.select.unlock()
  return config


def _rollout() -> dict:
  return dict(
    # Prompts of a rollout, answers to each, and passes over them.
    prompts=64,
    group_size=1,
    epochs=1,
    max_new_tokens=128,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    min_p=0.0,
    # Answers that are sampled at a time.
    num_slots=64,
    # Sample on, rather than learn from groups whose answers are worth the same
    # (DAPO's dynamic sampling).
    drop_uniform_groups=False,
    # Devices that the model is split over while it samples; None keeps the mesh
    # of the updates.
    tensor_parallel=config_dict.placeholder(int),
  )


def _judge() -> dict:
  return dict(
    # Who reads the answers and writes a number: "" nobody, "policy" the model
    # of the round (self-rewarding), "model" the one named here.
    role="",
    **_no_model(),
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


def _answers(algorithm: str, terms: Mapping[str, Mapping[str, Any]]) -> Any:
  # Logits exist for as many tokens of a device at a time.
  loss = dict(terms=_terms(terms), chunk_size=1024)
  config = _tree(algorithm, loss)
  config.unlock()
  config.data.update(_answer_rows())
  config.reference = _reference()
  return _locked(config)


def _no_model() -> dict:
  return dict(
    from_hf="",
    from_run="",
    step=config_dict.placeholder(int),
    average=False,
  )


def _reference() -> dict:
  return dict(
    # The model that the policy is compared with: a Hugging Face folder, or a
    # run's; the run's own start where both are "".
    **_no_model(),
    # A folder for its log-probabilities of every row: computed once, then read;
    # "" computes them in each step.
    cache="",
    # Above 0, the reference follows the policy: after so many updates it moves
    # by `sync_rate` of the way (TR-DPO).
    sync_every=0,
    sync_rate=1.0,
  )


def _answer_rows() -> dict:
  return dict(
    # Tokens of a row of the batch, which holds whole groups of answers; None
    # is max_length for each answer of a group.
    row_length=config_dict.placeholder(int),
    # Compute a prompt once for all of its answers.
    share_prompt=True,
  )


def _terms(terms: Mapping[str, Mapping[str, Any]]) -> ConfigDict:
  return ConfigDict({name: dict(term) for name, term in terms.items()})


def _tree(algorithm: str, loss: dict) -> ConfigDict:
  config = ConfigDict(
    dict(
      algorithm=algorithm,
      seed=0,
      model=_model(),
      init=dict(
        # The weights a run starts from: a Hugging Face folder, or a run's (or
        # what `ramjax convert` wrote). Random where both are "".
        from_hf="",
        from_run="",
        # Of from_run: which checkpoint (the newest), and whether the moving
        # average of its weights.
        step=config_dict.placeholder(int),
        average=False,
      ),
      lora=_lora(),
      tokenizer=dict(
        # A sentencepiece .model or an HF tokenizer.json; "" takes that of the
        # model in `init`, or trains one on the training rows.
        path="",
        train_vocab_size=1024,
      ),
      data=_data(),
      loss=loss,
      optim=_optim(),
      # Devices along each axis; -1 is the rest.
      mesh=dict(data=1, fsdp=-1, sequence=1, tensor=1),
      checkpoint=dict(every_steps=500, keep=2, keep_every=0),
      evals=dict(
        every_steps=500,
        # Held-out prompts answered at each evaluation, and how many of the
        # answers are kept as samples.
        num_prompts=4,
        num_samples=4,
        max_new_tokens=128,
      ),
      run=_run(),
    )
  )
  return _locked(config)


def _locked(config: ConfigDict) -> ConfigDict:
  """A misspelt field is an error from here on; sources, rewards are free."""
  config.lock()
  config.data.sources.unlock()
  if "rewards" in config:
    config.rewards.unlock()
  return config


def source(
  path: str, *, weight: float = 1.0, eval_rows: int = 0, eval_path: str = ""
) -> ConfigDict:
  """One entry of `data.sources`.

  Args:
    path: A .jsonl, .json (either may be .gz) or .parquet file, a prepared
      `tfds:NAME/CONFIG:SPLIT?data_dir=DIR`, generated `tasks:NUM?seed=S` (of
      some kinds: `&kinds=A+B`; a share of the answers wrong: `&wrong=0.3`), or
      pairs of a right and a wrong answer to them, `task_pairs:NUM?seed=S`.
    weight: Share of the mixture, relative to the other sources.
    eval_rows: Rows held out for evaluation.
    eval_path: Rows that are held out already, as `path`.

  Returns:
    The entry.
  """
  return ConfigDict(
    dict(path=path, weight=weight, eval_rows=eval_rows, eval_path=eval_path)
  )


def _model() -> dict:
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
    remat="none",
    attention="xla",
  )


def _lora() -> dict:
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


def _data() -> dict:
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


def _optim() -> dict:
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
  )


def _run() -> dict:
  return dict(
    total_steps=1000,
    log_every=10,
    tensorboard=False,
    wandb_project="",
    # Compiled programs are kept here between launches; "" keeps none.
    compilation_cache="~/.cache/ramjax/xla",
    # Stop at the first step if its figures cannot be right.
    first_step_checks=True,
    # Have `ramjax doctor` look at the data first, and stop at "errors" or at
    # "warnings"; "off" does not look.
    require_doctor="off",
    # Continue a workdir with a config or data that differ from its own.
    allow_config_change=False,
    # Show the whole traceback of an error.
    tracebacks=False,
  )
