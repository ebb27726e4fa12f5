# SPDX-License-Identifier: Apache-2.0
"""No secret of the environment is in what a run writes or says.

Searched are the run's folder and its output; not the compiled programs, which
lie outside of it. What is looked for is a secret as it stands: one that was
written in base64, say, would not be seen.
"""

import gzip
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest
import tensorstore
import tiny_checkpoints
import tiny_endpoint

from ramjax.trainers.checkpoints import Checkpoints

pytestmark = pytest.mark.slow

# Planted; each has the look of the real thing.
_SECRETS = {
  "HF_TOKEN": "hf_PLANTEDhuggingfaceTOKEN00000000000",
  "OPENAI_API_KEY": "sk-PLANTEDopenaiKEY000000000000000000",
  "WANDB_API_KEY": "PLANTEDwandb0000000000000000000000000000",
  "AWS_SECRET_ACCESS_KEY": "PLANTEDawssecretACCESSkey0000000000000000",
  "RAMJAX_OWN_PASSWORD": "PLANTEDpassword",
}
# The quickstart, whose answers a judge grades that wants a key.
_JUDGED = """
from ramjax.configs import base, sft_quickstart

def get_config():
  config = sft_quickstart.get_config()
  config.evals.benchmarks.judged = base.benchmark({command!r})
  return config
"""
# How zstd, zip, xz and bzip2 begin.
_PACKED = (b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"\xfd7zXZ", b"BZh")
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


def _run(
  workdir: pathlib.Path, config: object = "sft_quickstart", **more: object
) -> tuple[int, bytes]:
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
  fields = {**_OVERRIDES, **more}
  done = subprocess.run(
    [
      *(sys.executable, "-m", "ramjax.tools.cli", "train"),
      f"--config={config}",
      f"--workdir={workdir}",
      *(f"--config.{name}={value}" for name, value in fields.items()),
    ],
    env=environment | _SECRETS,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    timeout=600,
  )
  return done.returncode, done.stdout


def _written(folder: pathlib.Path) -> dict[str, bytes]:
  """Every file below a folder; what is compressed is unpacked.

  Of a checkpoint, whose arrays and their descriptions are within Orbax's own
  key-value stores: the files as they are, and all names and values in a store.
  """
  found = {}
  for path in folder.rglob("*"):
    if not path.is_file():
      continue
    data = path.read_bytes()
    if data.startswith(b"\x1f\x8b"):
      data = gzip.decompress(data)
    in_store = (path.parent.parent / "manifest.ocdbt").exists()
    assert in_store or not data.startswith(_PACKED), f"{path} is not unpacked"
    found[str(path)] = data
    if path.name == "manifest.ocdbt":
      found |= _stored(path.parent)
  return found


def _stored(folder: pathlib.Path) -> dict[str, bytes]:
  """Names and descriptions of the arrays in a store, and their bytes."""
  # No URL: a folder's name may hold "#" or "%".
  base = {"driver": "file", "path": f"{folder}/"}
  store = {"driver": "ocdbt", "base": base}
  values: Any = tensorstore.KvStore.open(store).result()
  names = values.list().result()
  found = {f"{folder}:names": b"\n".join(names)}
  for name in names:
    array, _, kind = name.decode().rpartition("/")
    if kind == ".zarray":
      at = {"driver": "zarr", "kvstore": {**store, "path": array}}
      read: Any = tensorstore.open(at).result().read().result()
      found[f"{folder}:{array}"] = np.asarray(read).tobytes()
      found[f"{folder}:{name}"] = values.read(name).result().value
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


def test_a_search_for_secrets_finds_them_in_a_checkpoint(tmp_path):
  state = tiny_checkpoints.state(0)
  # Among other letters, so that it is not in the file as it stands.
  letters = np.random.default_rng(0).choice(list(b"abcdefgh"), 4096)
  text = bytes(letters.tolist()) + _SECRETS["HF_TOKEN"].encode()
  held = jax.device_put(np.frombuffer(text, np.uint8), state.step.sharding)
  state.carried["text"] = held
  state.carried[_SECRETS["WANDB_API_KEY"]] = state.carried["mean"]
  checkpoints = Checkpoints(tmp_path, keep=1, keep_every=0)
  progress = {"note": _SECRETS["RAMJAX_OWN_PASSWORD"]}
  checkpoints.save(1, state, tiny_checkpoints.Position(), progress)
  checkpoints.close()
  written = _written(tmp_path)
  found = {name for _, name in _leaks(written)}
  assert found == {"HF_TOKEN", "WANDB_API_KEY", "RAMJAX_OWN_PASSWORD"}
  files = {name: data for name, data in written.items() if ":" not in name}
  assert "HF_TOKEN" not in {name for _, name in _leaks(files)}


def _judge(number, asked):
  """Grades; at first it fails, and repeats the key."""
  if number == 0:
    said = f"busy, {asked.headers['Authorization']}"
    return tiny_endpoint.reply({"error": {"message": said}}, 500)
  return tiny_endpoint.reply(tiny_endpoint.answer("Good.\nScore: 3"))


def test_a_run_with_a_trace_a_checkpoint_and_a_judge_behind_a_key_tells_none(
  tmp_path,
):
  asked = tmp_path / "asked.json"
  asked.write_text(json.dumps([{"instruction": "Say 3."}]))
  config = tmp_path / "judged.py"
  with tiny_endpoint.TinyEndpoint(_judge) as server:
    command = (
      f"rubric --data={asked} --model-max-tokens=4 --model-slots=2"
      f" --canaries=0 --judge={server.url}"
      " --judge-name=j --judge-key-env=OPENAI_API_KEY"
    )
    config.write_text(_JUDGED.format(command=command))
    status, said = _run(tmp_path / "run", config)
  assert status == 0, said.decode()
  # The key was read and sent, and came back.
  assert {each.headers["Authorization"] for each in server.asked} == {
    f"Bearer {_SECRETS['OPENAI_API_KEY']}"
  }
  assert b"status 500: busy, Bearer [API key]; trying again" in said
  written = _written(tmp_path)
  names = {pathlib.Path(name).name for name in written}
  # What could have told one is there.
  assert {"config.json", "manifest.json", "metrics.jsonl"} <= names
  assert {"evaluation.json", "grades.jsonl"} <= names
  assert any("profile" in name for name in written)
  assert any("/checkpoints/4/params:" in name for name in written)
  assert not _leaks({**written, "output": said})


def test_a_run_that_fails_with_a_traceback_tells_none(tmp_path):
  status, said = _run(tmp_path / "run", **{"optim.learning_rate": 1e30})
  assert status == 1 and b"Traceback" in said
  assert not _leaks({**_written(tmp_path), "output": said})
