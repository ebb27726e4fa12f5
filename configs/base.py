# SPDX-License-Identifier: Apache-2.0
"""The complete config tree of each algorithm, with its defaults.

An experiment file starts from one of these and overrides; a field that is not
here is an error. Fields that are None take the model preset's value.
"""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

from ramjax.configs import fields


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
  config.data.update(fields.answer_rows())
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
  config = _tree("ppo", fields.policy_loss())
  config.unlock()
  # Answers are packed by what they come to be, into rows of max_length;
  # batch_size counts answers.
  del config.data.pack
  # Compute a prompt once for the answers of its group; they share an update.
  config.data.share_prompt = True
  config.reference = fields.reference()
  config.rewards = _terms(rewards)
  # A model with a score head that scores answers, too.
  config.reward_model = dict(fields.no_model(), weight=1.0)
  config.scores = dict(
    # Subtract the running mean of all scores and divide by their deviation.
    normalise=False,
    # Then cut to plus and minus this.
    clip=config_dict.placeholder(float),
  )
  config.rollout = dict(
    fields.rollout(group_size=1),
    # Passes over a rollout.
    epochs=1,
    # Sample on, rather than learn from groups whose answers are worth the same
    # (DAPO's dynamic sampling).
    drop_uniform_groups=False,
  )
  config.credit = fields.credit()
  # What the critic starts from: a reward model; else the policy and a new head.
  # Beside adapters, one with adapters on the policy's own base.
  config.critic = fields.no_model()
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
    {
      n: fit.evals[n]
      for n in ("num_prompts", "num_samples", "max_new_tokens", "benchmarks")
    }
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
    own = sorted(set(fit.reference) - set(fields.no_model()))
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
  # Of a round, which takes the next prompts.
  config.rollout = fields.rollout(group_size=4)
  config.select = ConfigDict(dict(select))
  config.rewards = _terms(rewards)
  # A model with a score head that scores answers, too.
  config.reward_model = dict(fields.no_model(), weight=1.0)
  config.judge = fields.judge()
  _locked(config)
  config.select.unlock()
  return config


def _answers(algorithm: str, terms: Mapping[str, Mapping[str, Any]]) -> Any:
  # Logits exist for as many tokens of a device at a time.
  loss = dict(terms=_terms(terms), chunk_size=1024)
  config = _tree(algorithm, loss)
  config.unlock()
  config.data.update(fields.answer_rows())
  config.reference = fields.reference()
  return _locked(config)


def _terms(terms: Mapping[str, Mapping[str, Any]]) -> ConfigDict:
  return ConfigDict({name: dict(term) for name, term in terms.items()})


def _tree(algorithm: str, loss: dict) -> ConfigDict:
  config = ConfigDict(
    dict(
      algorithm=algorithm,
      seed=0,
      model=fields.model(),
      # The weights a run starts from; random where no model is named.
      init=fields.no_model(),
      lora=fields.lora(),
      tokenizer=dict(
        # A sentencepiece .model or an HF tokenizer.json; "" takes that of the
        # model in `init`, or trains one on the training rows.
        path="",
        train_vocab_size=1024,
      ),
      data=fields.data(),
      loss=loss,
      optim=fields.optim(),
      # Devices along each axis; -1 is the rest.
      mesh=dict(data=1, fsdp=-1, sequence=1, tensor=1),
      checkpoint=dict(
        every_steps=500,
        # Newest kept, and steps whose multiples are kept for good (0: none).
        keep=2,
        keep_every=0,
        # A folder on a fast disk of the machine, saved to more often; the newest
        # good checkpoint of both is gone on from. "" and 0 have none.
        local_dir="",
        local_every_steps=0,
      ),
      evals=dict(
        every_steps=500,
        # Held-out prompts answered at each evaluation, and how many of the
        # answers are kept as samples.
        num_prompts=4,
        num_samples=4,
        max_new_tokens=128,
        # By a name of yours: see `benchmark`.
        benchmarks=dict(),
      ),
      run=fields.run(),
    )
  )
  return _locked(config)


def _locked(config: ConfigDict) -> ConfigDict:
  """A misspelt field is an error from here on; what one names is free."""
  config.lock()
  config.data.sources.unlock()
  config.evals.benchmarks.unlock()
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


def benchmark(command: str, *, every_steps: int = 0) -> ConfigDict:
  """One entry of `evals.benchmarks`: measured on checkpoints of the run.

  Args:
    command: What follows `ramjax eval`, without model and folder: such as
      "gsm8k --data=test.jsonl".
    every_steps: How often; the checkpoint is saved where it would not be. It
      always runs after the last step, and 0 adds nothing.

  Returns:
    The entry.
  """
  return ConfigDict(dict(command=command, every_steps=every_steps))
