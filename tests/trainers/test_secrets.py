# SPDX-License-Identifier: Apache-2.0
"""No secret of the environment is in what a run writes or says."""

import gzip
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# Planted; each has the look of the real thing.
_SECRETS = {
  "HF_TOKEN": "hf_PLANTEDhuggingfaceTOKEN00000000000",
  "OPENAI_API_KEY": "sk-PLANTEDopenaiKEY000000000000000000",
  "WANDB_API_KEY": "PLANTEDwandb0000000000000000000000000000",
  "AWS_SECRET_ACCESS_KEY": "PLANTEDawssecretACCESSkey0000000000000000",
  "RAMJAX_OWN_PASSWORD": "PLANTEDpassword",
}
_OVERRIDES = {
  "data.sources.tasks.path": "tasks:200?seed=0",
  "data.sources.tasks.eval_path": "",
  "data.sources.tasks.eval_rows": 16,
  "data.max_length": 128,
  "data.batch_size": 4,
  "tokenizer.train_vocab_size": 400,
  "model.vocab_size": 400,
  "model.width": 32,
  "model.num_layers": 2,
  "optim.warmup_steps": 1,
  "run.total_steps": 4,
  "run.tracebacks": True,
  "run.tensorboard": True,
  "run.profile_steps": "2-3",
  "evals.every_steps": 0,
  "evals.num_prompts": 2,
  "evals.max_new_tokens": 4,
}


def _run(workdir: pathlib.Path, **more: object) -> tuple[int, bytes]:
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  fields = {**_OVERRIDES, **more}
  done = subprocess.run(
    [
      sys.executable,
      "-m",
      "ramjax.trainers.launch",
      "--config=sft_quickstart",
      f"--workdir={workdir}",
      *(f"--config.{name}={value}" for name, value in fields.items()),
    ],
    env=environment | _SECRETS,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    timeout=600,
  )
  return done.returncode, done.stdout


def _written(workdir: pathlib.Path) -> dict[str, bytes]:
  """Every file below a folder; what is compressed is unpacked."""
  found = {}
  for path in workdir.rglob("*"):
    if path.is_file():
      data = path.read_bytes()
      found[str(path)] = gzip.decompress(data) if path.suffix == ".gz" else data
  return found


def _leaks(texts: dict[str, bytes]) -> list[tuple[str, str]]:
  return [
    (place, name)
    for place, data in texts.items()
    for name, secret in _SECRETS.items()
    if secret.encode() in data
  ]


def test_a_search_for_secrets_finds_one_that_is_there(tmp_path):
  text = f"token={_SECRETS['HF_TOKEN']}".encode()
  (tmp_path / "log.gz").write_bytes(gzip.compress(text))
  assert _leaks(_written(tmp_path)) == [(str(tmp_path / "log.gz"), "HF_TOKEN")]


def test_a_run_with_its_trace_and_checkpoint_tells_none(tmp_path):
  status, said = _run(tmp_path / "run")
  assert status == 0, said.decode()
  written = _written(tmp_path)
  names = {pathlib.Path(name).name for name in written}
  # What could have told them is there.
  assert {"config.json", "manifest.json", "metrics.jsonl"} <= names
  assert any("profile" in name for name in written)
  assert any("/checkpoints/4/" in name for name in written)
  assert not _leaks({**written, "output": said})


def test_a_run_that_fails_with_a_traceback_tells_none(tmp_path):
  status, said = _run(tmp_path / "run", **{"optim.learning_rate": 1e30})
  assert status == 1 and b"Traceback" in said
  assert not _leaks({**_written(tmp_path), "output": said})
