# SPDX-License-Identifier: Apache-2.0
"""The README.md of an exported model: where its weights come from."""

import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from ramjax.models.config import LlamaConfig

PROVENANCE_FILE = "provenance.json"


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
    known.update(json.loads((model / PROVENANCE_FILE).read_text()))
  if (model / "manifest.json").is_file():
    manifest = json.loads((model / "manifest.json").read_text())
    config = json.loads((model / "config.json").read_text())
    known["run"] = {
      "algorithm": config["algorithm"],
      "steps": config["run"]["total_steps"],
      "learning_rate": config["optim"]["learning_rate"],
      "template": manifest.get("template"),
      "commit": manifest.get("commit"),
      "data": {
        name: {
          "path": source.get("path"),
          "fingerprint": source.get("fingerprint"),
        }
        for name, source in manifest.get("data", {}).items()
      },
    }
  return known


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
      f"model = transformers.{_auto_class(config)}.from_pretrained({name!r})",
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


def _auto_class(config: LlamaConfig) -> str:
  if config.num_labels:
    return "AutoModelForSequenceClassification"
  return "AutoModelForCausalLM"
