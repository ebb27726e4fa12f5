# SPDX-License-Identifier: Apache-2.0
"""Writes a source of tensors as a new model folder, with all that goes with it."""

import json
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import tqdm

from ramjax.models import carried_files, tensors
from ramjax.models.hf_writer import SHARD_BYTES, HFWriter
from ramjax.models.run_writer import RunWriter
from ramjax.models.tensors import Source
from ramjax.tools import chat_files, model_card, new_folder

HF, RUN = "hf", "ramjax"


def write_model(
  source: Source,
  target: pathlib.Path,
  *,
  layout: str,
  like: pathlib.Path,
  provenance: Mapping[str, Any],
  shard_bytes: int = SHARD_BYTES,
  allow_nonfinite: bool = False,
  finish: Callable[[pathlib.Path], None] = lambda folder: None,
) -> int:
  """Writes a model, block by block; the folder appears when it is complete.

  Args:
    source: The tensors.
    target: The folder to make.
    layout: "hf" (safetensors, for transformers and vLLM) or "ramjax" (a run's
      folder with one checkpoint).
    like: The model folder whose tokenizer, chat template, licence and
      `config.json` fields go along (`chat_files.stage`).
    provenance: Where the tensors come from, JSON-ready; written into the
      folder and, for "hf", on its model card.
    shard_bytes: Of one safetensors file, at most.
    allow_nonfinite: Let NaN and infinities pass.
    finish: Called with the complete folder before it appears as `target`: to
      add files, or to raise if it must not appear.

  Returns:
    Bytes of all tensors.

  Raises:
    ValueError: The target exists, the disk is too small, a value is not
      finite, or the source cannot be read.
  """
  total = sum(map(tensors.num_bytes, source.specs.values()))
  new_folder.check_space(target, total)
  with new_folder.new_folder(target) as folder:
    place = folder if layout == HF else folder / carried_files.FOLDER
    place.mkdir(exist_ok=True)
    fields = chat_files.stage(
      like, place, max_positions=source.config.max_positions
    )
    if layout == HF:
      writer = HFWriter(
        folder,
        source.config,
        source.specs,
        carried={k: v for k, v in fields.items() if v is not None},
        shard_bytes=shard_bytes,
      )
      card = model_card.render(target.name, source.config, provenance)
      (folder / "README.md").write_text(card)
    else:
      writer = RunWriter(folder, source.config, source.specs)
      if fields:
        carried_files.save_config(fields, place)
    text = json.dumps(provenance, indent=2, sort_keys=True)
    (folder / model_card.PROVENANCE_FILE).write_text(text + "\n")
    with tqdm.tqdm(
      total=total,
      unit="B",
      unit_scale=True,
      desc=target.name,
      disable=not sys.stderr.isatty(),
    ) as bar:
      tensors.copy(
        source, writer, allow_nonfinite=allow_nonfinite, on_bytes=bar.update
      )
    finish(folder)
  return total
