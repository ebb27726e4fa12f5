# SPDX-License-Identifier: Apache-2.0
"""Tries a stranger's tokenizer in a child process before this one loads it.

`tokenizer_json.py` lets through only components known to be harmless. Should it
let through too much, a tokenizer library does not raise: it ends the process
that called it, and with it a conversion of hours. So the first to call it is a
process that nobody misses.
"""

import json
import pathlib
import subprocess

from ramjax.data import limited_process

MAX_MEMORY_BYTES = 2 * 2**30
# Of processor time: a busy machine makes no file a bad one.
MAX_SECONDS = 10
_MAX_WAIT_SECONDS = 60

_WORKER = pathlib.Path(__file__).with_name("tokenizer_probe_worker.py")


def probe_tokenizer(path: str | pathlib.Path) -> None:
  """Loads a tokenizer and encodes a few texts, in a process with limits.

  Args:
    path: As for `tokenizers.load_tokenizer`.

  Raises:
    ValueError: The tokenizer is refused, or the process crashed, or used more
      than `MAX_MEMORY_BYTES` or `MAX_SECONDS`.
  """
  path = pathlib.Path(path)
  process = limited_process.start(
    _WORKER,
    str(path.absolute()),
    memory_bytes=MAX_MEMORY_BYTES,
    cpu_seconds=MAX_SECONDS,
  )
  output = b""
  try:
    output, _ = process.communicate(timeout=_MAX_WAIT_SECONDS)
  except subprocess.TimeoutExpired:
    pass  # It is killed below, which its status tells.
  finally:
    status = limited_process.stop(process)
  answer = _answer(output) if status == 0 else {}
  if "refused" in answer:
    raise ValueError(answer["refused"])
  if "vocab_size" not in answer:
    ended = f"by signal {-status}" if status < 0 else f"with status {status}"
    raise ValueError(
      f"{path}: a process that loaded this tokenizer and encoded a few texts"
      f" ended {ended}. It may use {MAX_MEMORY_BYTES:,} bytes of memory and"
      f" {MAX_SECONDS} s. Do not load it: the file is damaged, or made to do"
      " harm. Use the tokenizer of the model's original publisher."
    )


def _answer(output: bytes) -> dict[str, object]:
  try:
    answer = json.loads(output)
  except ValueError:
    return {}
  return answer if isinstance(answer, dict) else {}
