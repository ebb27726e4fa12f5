# SPDX-License-Identifier: Apache-2.0
"""The command line of a run: what a newcomer types wrong, and what it says."""

import json
import os
import subprocess
import sys

import jax
import pytest
import tiny_compile

from ramjax.trainers import launch, run_error, sft
from ramjax.trainers.checkpoint_step import ReadError
from ramjax.trainers.run_error import ReplicaError


def _main(*argv):
  return launch.main(list(argv))


def test_help_names_both_flags_and_the_exit_statuses(capsys):
  assert _main("--help") == 0
  out = capsys.readouterr().out
  assert "--config=FILE" in out and "--workdir=DIR" in out and "75" in out


def test_help_of_a_config_lists_its_fields(capsys):
  assert _main("--config=sft_quickstart", "--help") == 0
  assert "learning_rate: 0.0" in capsys.readouterr().out


@pytest.mark.parametrize(
  "argv,message",
  [
    (["--workdir=x"], "--config is missing"),
    (["--config=sft_quickstart"], "--workdir is missing"),
    (["--config=nowhere.py", "--workdir=x"], "'nowhere.py' does not exist"),
    (["--config=nowhere.py", "--workdir=x"], "sft_quickstart"),
    (["--config=sft_quickstart", "x"], "unexpected argument 'x'"),
    (["--config=sft_quickstart", "--wrkdir=x"], "wrkdir"),
    (["--config=sft_quickstart", "--config.optim.lr=1"], "lr"),
    (["--config=sft_quickstart", "--config.run.total_steps=many"], "total"),
  ],
)
def test_a_mistake_on_the_command_line_is_named(argv, message, capsys):
  assert _main(*argv) == 1
  err = capsys.readouterr().err
  assert err.startswith("ramjax train: ") and message in err
  assert "Traceback" not in err


@pytest.mark.parametrize(
  "override,message",
  [
    ("algorithm=ppo2", "algorithm='ppo2' is not one of"),
    ("model.preset=llama9", "preset 'llama9' is not one of llama1_7b"),
    ("model.num_kv_heads=3", "num_kv_heads=3"),
    ("optim.name=sgd", "optim.name='sgd' is not one of adamw"),
    ("optim.warmup_steps=9999", "optim.warmup_steps=9999"),
    ("optim.spike_sigma=6.0", "optim.max_skipped=0 allows none"),
    ("run.watchdog_seconds=-1.0", "run.watchdog_seconds=-1.0"),
    ("run.watchdog_long_seconds=60.0", "run.watchdog_long_seconds=60.0"),
    ("run.check_replicas_every=-1", "run.check_replicas_every=-1"),
    ("run.profile_steps=5-2", "run.profile_steps='5-2' must be FIRST-LAST"),
    ("run.total_steps=0", "run.total_steps=0"),
    ("data.num_microbatches=3", "multiple of data.num_microbatches=3"),
    ("data.batch_size=12", "cannot be split over data * fsdp = 8"),
    ("mesh.tensor=3", "does not cover 8 device(s)"),
    ("data.template=chatml", "chatml"),
    ("tokenizer.path=no.model", "no.model"),
    ("data.sources.tasks.path=no.jsonl", "no.jsonl"),
    ("tokenizer.train_vocab_size=1500", "the tokenizer has"),
  ],
)
def test_a_mistake_in_a_field_is_named_without_a_traceback(
  override, message, tmp_path, capsys
):
  status = _main(
    "--config=sft_quickstart",
    "--config.data.sources.tasks.path=tasks:200?seed=0",
    "--config.data.sources.tasks.eval_path=",
    "--config.data.sources.tasks.eval_rows=20",
    f"--config.{override}",
    f"--workdir={tmp_path / 'run'}",
  )
  err = capsys.readouterr().err
  assert status == 1
  assert err.startswith("ramjax train: ") and message in err
  assert "Traceback" not in err


def test_profile_is_the_field_in_a_word(tmp_path, capsys):
  status = _main(
    "--config=sft_quickstart", f"--workdir={tmp_path / 'run'}", "--profile=5-2"
  )
  assert status == 1
  assert "run.profile_steps='5-2' must be" in capsys.readouterr().err


def test_half_of_what_several_processes_need_is_refused(tmp_path, capsys):
  status = _main(
    "--config=sft_quickstart", f"--workdir={tmp_path}", "--process-id=1"
  )
  assert status == 1
  assert capsys.readouterr().err.startswith(
    "ramjax train: --process-id=1 given, but not --coordinator and"
    " --num-processes"
  )


def test_a_config_file_of_ones_own_is_used(tmp_path, capsys):
  path = tmp_path / "mine.py"
  path.write_text(
    "from ramjax.configs import base\n"
    "def get_config():\n"
    "  config = base.sft()\n"
    "  config.run.total_steps = 7\n"
    "  return config\n"
  )
  assert _main(f"--config={path}", "--help") == 0
  assert "total_steps: 7" in capsys.readouterr().out


def test_an_error_inside_a_config_file_is_shown(tmp_path, capsys):
  path = tmp_path / "broken.py"
  path.write_text("def get_config():\n  return undefined_name\n")
  assert _main(f"--config={path}", f"--workdir={tmp_path}") == 1
  assert "undefined_name" in capsys.readouterr().err


@pytest.mark.parametrize(
  "module", ["ramjax.tools.cli", "ramjax.trainers.launch"]
)
def test_help_does_not_import_jax(module):
  code = (
    f"import sys, {module} as m; assert m.main(['--help']) == 0;"
    " assert 'jax' not in sys.modules, 'jax was imported'"
  )
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr


def test_a_run_from_the_command_line_leaves_everything_behind(tmp_path):
  """The whole path, in a process of its own, as `python -m` starts it."""
  workdir = tmp_path / "run"
  command = [
    sys.executable,
    "-m",
    "ramjax.trainers.launch",
    "--config=sft_quickstart",
    "--config.data.sources.tasks.path=tasks:300?seed=0",
    "--config.data.sources.tasks.eval_path=",
    "--config.data.sources.tasks.eval_rows=24",
    "--config.tokenizer.train_vocab_size=400",
    "--config.model.vocab_size=400",
    "--config.model.width=16",
    "--config.model.num_layers=1",
    "--config.data.max_length=128",
    "--config.data.batch_size=4",
    "--config.run.total_steps=3",
    "--config.run.log_every=1",
    "--config.run.tensorboard=True",
    "--config.run.compilation_cache=",
    "--config.optim.warmup_steps=1",
    "--config.evals.every_steps=2",
    "--config.evals.num_prompts=4",
    "--config.evals.max_new_tokens=4",
    f"--workdir={workdir}",
  ]
  environment = os.environ | {"XLA_FLAGS": tiny_compile.quick()}
  done = subprocess.run(
    command, capture_output=True, text=True, check=False, env=environment
  )
  assert done.returncode == 0, done.stderr
  assert "finished" in done.stdout
  names = {path.name for path in workdir.iterdir()}
  assert names >= {
    "checkpoints", "config.json", "manifest.json", "metrics.jsonl",
    "model.json", "samples.jsonl", "tensorboard", "tokenizer.model",
  }  # fmt: skip
  lines = [
    json.loads(line)
    for line in (workdir / "metrics.jsonl").read_text().splitlines()
  ]
  assert [x["step"] for x in lines if "train/loss" in x] == [1, 2, 3]
  assert [x["step"] for x in lines if "eval/loss" in x] == [0, 2, 3]
  assert all("eval/unigram_perplexity" in x for x in lines if "eval/loss" in x)
  again = subprocess.run(
    command, capture_output=True, text=True, check=False, env=environment
  )
  assert again.returncode == 0, again.stderr
  assert "continuing after step 3 of 3" in again.stdout


def _fail(error):
  """An algorithm that fails of `error`."""

  def main(*_):
    raise error

  return main


def _train_sft(tmp_path):
  return _main(
    "--config=sft_quickstart",
    "--config.run.compilation_cache=",
    f"--workdir={tmp_path}",
  )


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize(
  "said",
  [
    "UNAVAILABLE: closed by peer",
    "ABORTED: the slice was lost",
    "DEADLINE_EXCEEDED: barrier timed out",
    "DATA_LOSS: the device is gone",
    "CANCELLED: by the coordination service",
    "UNKNOWN: Gloo ReduceScatter failed:\n Connection closed by peer",
    "FAILED_PRECONDITION: Buffer Definition Event: Gloo AllReduce failed",
    "INTERNAL: NCCL operation ncclAllReduce failed: remote process exited",
  ],
)
def test_a_lost_device_or_process_is_worth_a_restart(
  monkeypatch, tmp_path, capsys, said, below
):
  error = jax.errors.JaxRuntimeError(said)
  if below:  # As a save fails of it.
    cause, error = error, OSError("a checkpoint could not be written")
    error.__cause__ = cause
  monkeypatch.setattr(sft, "main", _fail(error))
  assert _train_sft(tmp_path) == 77
  err = capsys.readouterr().err
  assert said in err and "another process of the run was lost" in err


def test_a_disk_that_does_not_answer_is_worth_a_restart(
  monkeypatch, tmp_path, capsys
):
  error = ReadError("checkpoints/3 cannot be read now")
  monkeypatch.setattr(sft, "main", _fail(error))
  assert _train_sft(tmp_path) == 77
  assert "checkpoints/3 cannot be read now\n" in capsys.readouterr().err


@pytest.mark.parametrize(
  "said",
  [
    "RESOURCE_EXHAUSTED: out of memory",
    "INTERNAL: Mosaic failed to compile TPU kernel: bad layout",
    "INTERNAL: during compilation: UNAVAILABLE",
    "UNIMPLEMENTED: Gloo has no such collective",
    "INVALID_ARGUMENT: ABORTED is no shape",
    "UNKNOWN: something else",
  ],
)
def test_what_would_fail_again_is_not_worth_one(monkeypatch, tmp_path, said):
  monkeypatch.setattr(sft, "main", _fail(jax.errors.JaxRuntimeError(said)))
  with pytest.raises(jax.errors.JaxRuntimeError):
    _train_sft(tmp_path)


def test_a_mistake_while_a_loss_is_handled_is_a_mistake(
  monkeypatch, tmp_path, capsys
):
  error = ValueError("a mistake of its own")
  error.__context__ = jax.errors.JaxRuntimeError("UNAVAILABLE: handled")
  monkeypatch.setattr(sft, "main", _fail(error))
  assert _train_sft(tmp_path) == 1
  assert "a mistake of its own\n" in capsys.readouterr().err


@pytest.mark.parametrize(
  "error",
  [run_error.TooManySkippedError("4 in a row"), ReplicaError("4 in a row")],
)
def test_what_a_run_computes_wrongly_ends_it_with_a_message(
  monkeypatch, tmp_path, capsys, error
):
  monkeypatch.setattr(sft, "main", _fail(error))
  assert _train_sft(tmp_path) == 1
  assert "ramjax train: 4 in a row\n" in capsys.readouterr().err
