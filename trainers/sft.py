# SPDX-License-Identifier: Apache-2.0
"""Supervised fine-tuning: the loss on a model, and the wiring of a run."""

import contextlib
import pathlib
from collections.abc import Mapping

import grain
import jax
import ml_collections

from ramjax.data import batches as batches_lib
from ramjax.data import templates
from ramjax.data.batches import TokenBatch
from ramjax.evals.likelihood import likelihood
from ramjax.losses.sft import sft_loss
from ramjax.losses.token_logps import mean_token_logps
from ramjax.losses.weighted_mean import WeightedMean
from ramjax.models import llama, sharding, weights
from ramjax.models.config import LlamaConfig
from ramjax.trainers import from_config, loop, provenance
from ramjax.trainers import step as step_lib
from ramjax.trainers.held_out import HeldOut
from ramjax.trainers.recorder import Recorder
from ramjax.trainers.sft_data import SFTData, load_sft_data
from ramjax.trainers.state import TrainState, init_state


def make_loss_fn(
  config: LlamaConfig,
  *,
  label_smoothing: float,
  z_loss: float,
  chunk_size: int,
  num_shards: int,
) -> step_lib.LossFn:
  """Builds `(params, batch, key) -> (WeightedMean, metrics)` for `TokenBatch`.

  Args:
    config: Of the model.
    label_smoothing: See `losses.sft.sft_loss`.
    z_loss: See `losses.sft.sft_loss`.
    chunk_size: See `losses.token_logps.token_logps`.
    num_shards: Devices the rows of a batch are split over.

  Returns:
    The function; the weight of its loss is the number of supervised tokens,
    its metrics hold `nll`, the loss without smoothing and z-loss.
  """

  def loss_fn(
    params: llama.Params, batch: TokenBatch, key: jax.Array
  ) -> tuple[WeightedMean, step_lib.Metrics]:
    del key  # Nothing random in SFT.
    scored = likelihood(
      params, config, batch, chunk_size=chunk_size, num_shards=num_shards
    )
    mean_logps = None
    if label_smoothing:
      mean_logps = mean_token_logps(
        hidden=scored.hidden,
        kernel=scored.kernel,
        log_normalizers=scored.log_normalizers,
      )
    losses = sft_loss(
      token_logps=scored.logps,
      log_normalizers=scored.log_normalizers,
      mean_logps=mean_logps,
      label_smoothing=label_smoothing,
      z_loss=z_loss,
    )
    nll = WeightedMean.of(-scored.logps, scored.mask)
    return WeightedMean.of(losses, scored.mask), {"nll": nll}

  return loss_fn


def main(
  config: ml_collections.ConfigDict, workdir: pathlib.Path
) -> loop.Outcome:
  """Runs the experiment in `config`, or continues it, in `workdir`."""
  # What can be refused without the data is refused before it is read.
  provenance.refuse_other_config(workdir, config.to_dict())
  model_config = from_config.make_model_config(config)
  schedule = from_config.make_loop_schedule(config)
  learning_rate = from_config.make_learning_rate(config)
  optimizer = from_config.make_optimizer(config, learning_rate)
  templates.template_digest(config.data.template)  # Refuses an unknown name.

  # Mesh
  mesh = from_config.make_mesh(config, model_config)

  # Data
  data = load_sft_data(config, workdir, vocab_size=model_config.vocab_size)
  _claim(config, workdir, data, model_config)
  batches = _train_batches(config, data)

  with jax.set_mesh(mesh), contextlib.ExitStack() as opened:
    opened.callback(batches.close)

    # Model
    weights.save_config(workdir, model_config)
    params = llama.init_params(model_config, jax.random.key(config.seed), mesh)

    # Step
    state = init_state(
      params,
      optimizer,
      mesh=mesh,
      seed=config.seed,
      with_ema=config.optim.ema_decay > 0,
    )
    del params  # Donated with the state.
    train_step = step_lib.make_train_step(
      make_loss_fn(
        model_config,
        num_shards=sharding.num_batch_shards(mesh),
        **config.loss.to_dict(),
      ),
      optimizer,
      num_microbatches=config.data.num_microbatches,
      ema_decay=config.optim.ema_decay,
    )

    # Checkpoint
    checkpoints = from_config.make_checkpoints(config, workdir)
    opened.callback(checkpoints.close)
    state, progress, restored = checkpoints.restore_latest(state, batches)
    recorder = from_config.make_recorder(
      config, workdir, first_step=restored or 0, progress=progress
    )
    opened.callback(recorder.close)
    _announce(recorder, config, model_config, mesh, data, restored)

    # Evals
    held_out = HeldOut(config, model_config, data, mesh)

    def evaluate(state: TrainState, step: int) -> Mapping[str, float]:
      params = state.params if state.ema is None else state.ema
      metrics, samples = held_out.evaluate(params, step)
      recorder.samples(samples)
      return metrics

    # Loop
    _, outcome = loop.train(
      state,
      batches,
      train_step=train_step,
      place_batch=lambda batch: sharding.place_batch(batch, mesh),
      count_batch=_count,
      evaluate=evaluate,
      learning_rate=learning_rate,
      schedule=schedule,
      checkpoints=checkpoints,
      recorder=recorder,
      progress=progress,
    )
  return outcome


def _claim(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  data: SFTData,
  model_config: LlamaConfig,
) -> None:
  """Writes the config and the manifest, or refuses another run's folder."""
  template = config.data.template
  manifest = provenance.build_manifest(
    data=data.summary,
    tokenizer_digest=data.tokenizer.digest,
    template=template,
    template_digest=templates.template_digest(template),
    num_parameters=model_config.num_parameters,
  )
  provenance.claim_workdir(workdir, config.to_dict(), manifest)


def _train_batches(
  config: ml_collections.ConfigDict, data: SFTData
) -> grain.DatasetIterator:
  """This process's share of the endless batches."""
  return batches_lib.train_batches(
    data.train,
    weights=data.weights,
    length=config.data.max_length,
    batch_size=config.data.batch_size // jax.process_count(),
    pack=config.data.pack,
    seed=config.seed,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )


def _count(batch: TokenBatch) -> loop.BatchCounts:
  return loop.BatchCounts(*batches_lib.count_tokens([batch]))


def _announce(
  recorder: Recorder,
  config: ml_collections.ConfigDict,
  model_config: LlamaConfig,
  mesh: jax.sharding.Mesh,
  data: SFTData,
  restored: int | None,
) -> None:
  """Says what is about to run: data kept and cut, model, devices, start."""
  for name, counts in data.summary.items():
    recorder.say(
      f"data {name}: {counts['rows_train']} rows to train on,"
      f" {counts['rows_held_out']} held out,"
      f" {counts['rows_quarantined']} quarantined,"
      f" {counts['rows_truncated']} + {counts['held_out_rows_truncated']}"
      f" truncated ({counts['tokens_truncated']} +"
      f" {counts['held_out_tokens_truncated']} tokens); to train on:"
      f" {counts['tokens']} tokens, {counts['supervised_tokens']} supervised"
    )
  devices = mesh.devices.size
  recorder.say(
    f"model {config.model.preset}: {model_config.num_parameters:,} parameters,"
    f" {model_config.dtype} compute, {devices}"
    f" {jax.devices()[0].platform} device(s)"
  )
  if restored is not None:
    recorder.say(
      f"continuing after step {restored} of {config.run.total_steps}"
    )
