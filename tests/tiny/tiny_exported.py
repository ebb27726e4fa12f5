# SPDX-License-Identifier: Apache-2.0
"""Runs of a few thousand parameters as Hugging Face folders, for tests."""

import dataclasses
import importlib.util
import json
import pathlib
from typing import Any

import tiny_model_folder

from ramjax.data import train_tokenizer
from ramjax.data.tokenizers import load_tokenizer
from ramjax.models import tensors
from ramjax.models.run_writer import RunWriter
from ramjax.tools import cli

# Kind of tokenizer -> the chat template that the run was trained with.
KINDS = {"ours": "plain", "llama2": "llama2", "llama3": "llama3"}


def _tokenizers() -> Any:
  """tests/data/conftest.py, whose tokenizers have specials and prefixes."""
  path = pathlib.Path(__file__).parents[1] / "data/conftest.py"
  spec = importlib.util.spec_from_file_location("data_conftest", path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def export(
  root: pathlib.Path, kind: str = "ours", *, max_positions: int = 64
) -> pathlib.Path:
  """Writes a run, and the folder that `ramjax convert to-hf` makes of it.

  Its random model writes printable text and ends now and then: halves of
  characters, which libraries decode in their own ways, are never likeliest.

  Args:
    root: An existing folder, empty.
    kind: One of `KINDS`.
    max_positions: Of the model.

  Returns:
    The Hugging Face folder.
  """
  run, hf = root / "run", root / "hf"
  run.mkdir()
  if kind == "ours":
    train_tokenizer.train_sentencepiece(
      _tokenizers().CORPUS, path=run / "tokenizer.model", vocab_size=400
    )
  elif kind == "llama2":
    _tokenizers().train_llama2_model(run / "tokenizer.model")
  else:
    _tokenizers()._llama3_json(run / "tokenizer.json")
  tokenizer = load_tokenizer(run)
  config = dataclasses.replace(
    tiny_model_folder.CONFIG,
    vocab_size=tokenizer.vocab_size,
    max_positions=max_positions,
  )
  model = tiny_model_folder.RandomModel(config, dtype="float32", seed=0)
  for id_ in range(config.vocab_size):
    text = tokenizer.decode([id_])
    if not (text.isascii() and text.isprintable()):
      model.arrays["lm_head.weight"][id_] = 0
  tensors.copy(model, RunWriter(run, config, model.specs))
  (run / "config.json").write_text("{}")
  (run / "manifest.json").write_text(
    json.dumps({"template": {"name": KINDS[kind]}})
  )
  assert cli.main(["convert", "to-hf", str(run), str(hf)]) == 0
  return hf
