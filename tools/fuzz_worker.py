# SPDX-License-Identifier: Apache-2.0
"""Reads hostile files, one request at a time, inside strict limits.

Started by `ramjax.tools.fuzz`, which kills it when it takes too long. It may
take 1 GiB of memory for an input, and may not write to any file.

The first line of its output says that it is ready; then each request line
{"kind": ..., "folder": ...} gets one reply line.
"""

import importlib
import json
import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from ramjax.data import tokenizers
from ramjax.models import hf_shards

MAX_EXTRA_BYTES = 2**30

TEXT = "Hello  </s>world<|eot_id|> 123,\n\té漢😀\0 <s>[INST]"

_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link")
_CHANGES += ("os.symlink", "os.truncate", "os.chmod", "os.utime")


class NotEqualError(Exception):
  """A file was read, but not as the safetensors library reads it."""


class WriteError(BaseException):
  """A reader tried to change a file. No reader catches it by mistake."""


def read_model(folder: pathlib.Path) -> None:
  """Reads every byte of a model and compares with the safetensors library.

  Raises:
    NotEqualError: A tensor differs.
    ValueError: The model is refused.
    FileNotFoundError: The model is incomplete.
  """
  import safetensors

  found = {}
  with hf_shards.ShardReader(folder) as reader:
    for name, spec in reader.tensors.items():
      # A scalar has no rows.
      if spec.shape:
        rows = reader.rows(name, 0, spec.shape[0])
        if (rows.shape, rows.dtype.name) != (spec.shape, spec.dtype):
          raise NotEqualError(f"{name!r}: rows are {rows.shape} {rows.dtype}")
        found[name] = (list(spec.shape), rows.tobytes())
  index = folder / "model.safetensors.index.json"
  shards = {"model.safetensors"}
  if index.exists():
    shards = set(json.loads(index.read_bytes())["weight_map"].values())
  expected = {
    name: (item["shape"], bytes(item["data"]))
    for shard in shards
    for name, item in safetensors.deserialize((folder / shard).read_bytes())
    if item["shape"]
  }
  if found != expected:
    raise NotEqualError(f"read {sorted(found)}, expected {sorted(expected)}")


def read_tokenizer(folder: pathlib.Path) -> None:
  """Loads a tokenizer, encodes a short text and decodes the ids.

  Raises:
    ValueError: The tokenizer is refused.
    FileNotFoundError: There is none.
  """
  tokenizer = tokenizers.load_tokenizer(folder)
  ids = tokenizer.encode(TEXT, at_start=True)
  tokenizer.decode(ids)
  tokenizer.decode(range(min(tokenizer.vocab_size, 1000)), keep_special=True)


READERS: dict[str, Callable[[pathlib.Path], None]] = {
  "headers": read_model,
  "indexes": read_model,
  "tokenizers": read_tokenizer,
}


def main() -> int:
  """Serves until standard input closes."""
  # Now, so that their memory does not count against an input.
  for library in ("safetensors", "sentencepiece", "tokenizers"):
    importlib.import_module(library)
  # Libraries print; replies must stay apart from that.
  replies = os.fdopen(os.dup(1), "w")
  nowhere = os.open(os.devnull, os.O_WRONLY)
  for descriptor in (1, 2):
    os.dup2(nowhere, descriptor)
  # The kernel stops writes of native code, the hook those of Python. A core
  # file would be a write, too.
  for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
    resource.setrlimit(limit, (0, resource.getrlimit(limit)[1]))
  sys.addaudithook(_refuse_writes)
  print(json.dumps({"ready": True}), file=replies, flush=True)
  for line in sys.stdin:
    request = json.loads(line)
    folder = pathlib.Path(request["folder"])
    reply = _outcome(READERS[request["kind"]], folder)
    print(json.dumps(reply), file=replies, flush=True)
  return 0


def _outcome(
  read: Callable[[pathlib.Path], None], folder: pathlib.Path
) -> dict[str, Any]:
  _limit_memory()
  start = time.perf_counter()
  try:
    read(folder)
    error = None
  # Panics of Rust libraries are no Exceptions.
  except BaseException as raised:
    error = raised
  return {
    "ms": 1000 * (time.perf_counter() - start),
    "error": None if error is None else type(error).__name__,
    "typed": isinstance(error, ValueError | FileNotFoundError),
    "message": str(error)[:500],
  }


def _limit_memory() -> None:
  """Allows `MAX_EXTRA_BYTES` more than the process has now."""
  pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
  soft = pages * resource.getpagesize() + MAX_EXTRA_BYTES
  resource.setrlimit(
    resource.RLIMIT_AS, (soft, resource.getrlimit(resource.RLIMIT_AS)[1])
  )


def _refuse_writes(event: str, args: tuple[Any, ...]) -> None:
  writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
  opened = event == "open" and isinstance(args[2], int) and args[2] & writes
  if opened or event in _CHANGES:
    raise WriteError(f"{event} {args[0]!r}")


if __name__ == "__main__":
  sys.exit(main())
