# SPDX-License-Identifier: Apache-2.0
"""The README.md of an exported model: where its weights come from."""

import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models import model_folder, strict_json, weights
from ramjax.models.config import LlamaConfig

PROVENANCE_FILE = "provenance.json"
_MAX_BYTES = 2**24


def version() -> str:
  """This package's name and version."""
  return f"ramjax {importlib.metadata.version('ramjax')}"


def read_provenance(model: pathlib.Path) -> dict[str, Any]:
  """What a model's folder says of itself: of its making and of its training.

  Returns:
    The content of `provenance.json` (written by `ramjax convert`), and under
    "run" what matters of a training run's `manifest.json` and `config.json`.
  """
  known: dict[str, Any] = {}
  if (model / PROVENANCE_FILE).is_file():
    known.update(_read(model / PROVENANCE_FILE))
  # A Hugging Face folder's `config.json` is no run's.
  is_run = (model / weights.MODEL_FILE).is_file()
  if is_run and (model / "manifest.json").is_file():
    manifest = _read(model / "manifest.json")
    config = _read(model / "config.json")
    data = _at(manifest, "data")
    known["run"] = {
      "algorithm": _at(config, "algorithm"),
      "steps": _at(config, "run", "total_steps"),
      "learning_rate": _at(config, "optim", "learning_rate"),
      "template": _at(manifest, "template"),
      "commit": _at(manifest, "code", "commit"),
      "data": {
        name: {key: _at(source, key) for key in ("path", "fingerprint")}
        for name, source in (data if isinstance(data, dict) else {}).items()
      },
    }
  return known


def _read(path: pathlib.Path) -> dict[str, Any]:
  data = model_folder.read_capped(path, max_bytes=_MAX_BYTES)
  return strict_json.parse_object(data, what=str(path))


def _at(tree: Any, *keys: str) -> Any:
  """A value inside nested objects; None where there is none."""
  for key in keys:
    tree = tree.get(key) if isinstance(tree, dict) else None
  return tree


def render(
  name: str, config: LlamaConfig, provenance: Mapping[str, Any]
) -> str:
  """The card as Markdown, with the metadata block that hubs read.

  Args:
    name: Of the model.
    config: Its shape.
    provenance: JSON-ready; shown whole.
  """
  task = "text-classification" if config.num_labels else "text-generation"
  quoted = json.dumps(name, ensure_ascii=False)
  shape = (
    f"{config.num_parameters:,} parameters: {config.num_layers} layers, width"
    f" {config.width}, {config.num_heads} heads ({config.num_kv_heads} of keys"
    f" and values), {config.vocab_size:,} tokens, trained for"
    f" {config.max_positions:,} positions."
  )
  return "\n".join(
    [
      "---",
      "library_name: transformers",
      f"pipeline_tag: {task}",
      "tags: [ramjax]",
      "---",
      "",
      f"# {name}",
      "",
      shape,
      "",
      f"Written by {version()}. It loads without code of its own:",
      "",
      "```python",
      "import transformers",
      "",
      f"model = transformers.{_auto_class(config)}.from_pretrained({quoted})",
      "```",
      "",
      "## Provenance",
      "",
      "The licence of the weights it was made from applies to these, too.",
      "",
      "```json",
      json.dumps(provenance, indent=2, sort_keys=True),
      "```",
      "",
    ]
  )


def render_delta(name: str, provenance: Mapping[str, Any]) -> str:
  """The card of a folder of differences, which is no model.

  Args:
    name: Of the folder.
    provenance: JSON-ready; shown whole.
  """
  return "\n".join(
    [
      f"# {name}",
      "",
      "Differences of a tuned model to its base: not a model, though programs",
      "will load it as one. Whoever has the base makes the model with",
      "",
      f"    ramjax convert delta apply BASE {name} MODEL",
      "",
      f"Written by {version()}.",
      "",
      "## Provenance",
      "",
      "```json",
      json.dumps(provenance, indent=2, sort_keys=True),
      "```",
      "",
    ]
  )


def _auto_class(config: LlamaConfig) -> str:
  if config.num_labels:
    return "AutoModelForSequenceClassification"
  return "AutoModelForCausalLM"
