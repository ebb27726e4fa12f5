# SPDX-License-Identifier: Apache-2.0
"""The complete config tree of each algorithm, with its defaults.

An experiment file starts from one of these and overrides; a field that is not
here is an error. Fields that are None take the model preset's value.
"""

from ml_collections import ConfigDict, config_dict


def sft() -> ConfigDict:
  """Supervised fine-tuning."""
  config = ConfigDict(
    dict(
      algorithm="sft",
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
      loss=dict(
        label_smoothing=0.0,
        z_loss=0.0,
        # Tokens per device whose logits exist at a time.
        chunk_size=1024,
      ),
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
  # From here on a misspelt field is an error; sources are named freely.
  config.lock()
  config.data.sources.unlock()
  return config


def source(path: str, *, weight: float = 1.0, eval_rows: int = 0) -> ConfigDict:
  """One entry of `data.sources`.

  Args:
    path: A .jsonl, .json (either may be .gz) or .parquet file, a prepared
      `tfds:NAME/CONFIG:SPLIT?data_dir=DIR`, or generated `tasks:NUM?seed=S`.
    weight: Share of the mixture, relative to the other sources.
    eval_rows: Rows held out for evaluation.

  Returns:
    The entry.
  """
  return ConfigDict(dict(path=path, weight=weight, eval_rows=eval_rows))


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
    # Continue a workdir with a config or data that differ from its own.
    allow_config_change=False,
    # Show the whole traceback of an error.
    tracebacks=False,
  )
