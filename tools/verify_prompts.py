# SPDX-License-Identifier: Apache-2.0
"""The prompts on which `ramjax convert verify` compares two models."""

import pathlib

import numpy as np

from ramjax.models import carried_files, model_folder
from ramjax.tools import chat_files

NUM_FIXED, FIXED_LENGTH = 4, 32
# The outputs of the first model at all positions are kept: 2,048 positions of
# 128,000 logits are 1 GB.
MAX_POSITIONS = 2048
_MAX_FILE_BYTES = 2**20


def fixed_prompts(vocab_size: int) -> list[np.ndarray]:
  """Ids below `vocab_size`, drawn alike each time: 4 prompts of 32."""
  shape = (NUM_FIXED, FIXED_LENGTH)
  ids = np.random.default_rng(0).integers(0, vocab_size, shape, np.int32)
  return list(ids)


def text_prompts(
  file: pathlib.Path, model: pathlib.Path, vocab_size: int
) -> list[np.ndarray]:
  """Every line of a file that is not blank, as ids of a model's tokenizer.

  Args:
    file: UTF-8 text.
    model: A model's folder, which carries a tokenizer.
    vocab_size: Ids must be below.

  Returns:
    [T] int32 ids of each, behind BOS where the tokenizer has one.

  Raises:
    FileNotFoundError: No such file.
    ValueError: No tokenizer, or a damaged one; no text, or too much of it.
  """
  data = model_folder.read_capped(file, max_bytes=_MAX_FILE_BYTES)
  try:
    lines = [line for line in data.decode().splitlines() if line.strip()]
  except UnicodeDecodeError as error:
    raise ValueError(f"--prompts={file} is not UTF-8 text: {error}") from error
  if not lines:
    raise ValueError(f"--prompts={file} has no text: give a prompt a line.")
  folder = carried_files.tokenizer_folder(model)
  if folder is None:
    raise ValueError(
      f"--prompts={file} needs a tokenizer, and {model} has none of"
      f" {', '.join(carried_files.VOCABULARIES)}. Put one there, or leave"
      " --prompts out."
    )
  tokenizer = chat_files.load_tokenizer(folder)
  bos = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
  prompts = [
    np.array(bos + tokenizer.encode(line, at_start=True), np.int32)
    for line in lines
  ]
  if (total := sum(map(len, prompts))) > MAX_POSITIONS:
    raise ValueError(
      f"--prompts={file} has {total:,} tokens; at most {MAX_POSITIONS:,} are"
      " compared. Give fewer or shorter prompts."
    )
  for line, prompt in zip(lines, prompts, strict=True):
    if prompt.max() >= vocab_size:
      raise ValueError(
        f"--prompts={file}: {line[:60]!r} has token {prompt.max()} in the"
        f" tokenizer of {folder}, and one of the models has only {vocab_size}"
        " tokens. Take that prompt out."
      )
  return prompts
