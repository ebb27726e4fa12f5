# SPDX-License-Identifier: Apache-2.0
"""`ramjax convert COMMAND`: weights to and from Hugging Face, and their algebra."""

import importlib
import sys
from collections.abc import Sequence

# Command -> (module with `main(argv) -> int`, one line for --help).
_COMMANDS = {
  "from-hf": ("convert_from_hf", "a Hugging Face model, for training here"),
  "from-meta": ("convert_from_meta", "Meta's original checkpoint (.pth files)"),
  "to-hf": ("convert_to_hf", "a run's model, for transformers and vLLM"),
  "vocab": ("convert_vocab", "more or fewer tokens, in model and tokenizer"),
  "delta": ("convert_delta", "the difference to a base, made and applied"),
  "merge": ("convert_merge", "one model from the weights of several"),
  "lora": ("convert_lora", "adapters to and from PEFT, merged, taken out"),
  "verify": ("convert_verify", "whether two models are the same"),
}

_EXAMPLES = """\
examples:
  ramjax convert from-hf Llama-3.2-1B models/llama
  ramjax convert to-hf runs/mine exported
  ramjax convert from-meta Llama3.2-1B models/llama --allow-pickle
  ramjax convert vocab models/llama models/larger --add-token='<|tool|>'
  ramjax convert delta make Llama-3.2-1B exported delta
  ramjax convert merge linear soup --model runs/a --model runs/b
  ramjax convert lora to-peft runs/lora adapter
  ramjax convert verify Llama-3.2-1B exported
"""


def _help() -> str:
  lines = "\n".join(
    f"  {name:<10} {summary}" for name, (_, summary) in _COMMANDS.items()
  )
  return (
    "usage: ramjax convert COMMAND [options]\n\n"
    "Every command reads a Hugging Face folder or a run's folder, writes a new\n"
    "folder (verify: none), and needs about 1 GB of memory whatever the model's\n"
    "size (verify: without --weights-only, one model in float32).\n\n"
    f"commands:\n{lines}\n\n{_EXAMPLES}"
  )


def main(argv: Sequence[str]) -> int:
  """Runs one conversion; returns its exit status (2: no such command)."""
  if not argv or argv[0] in ("-h", "--help", "help"):
    print(_help(), end="")
    return 0 if argv else 2
  if argv[0] not in _COMMANDS:
    print(
      f"ramjax convert: {argv[0]!r} is not a command: {', '.join(_COMMANDS)}.",
      file=sys.stderr,
    )
    return 2
  module = importlib.import_module(f"ramjax.tools.{_COMMANDS[argv[0]][0]}")
  try:
    return module.main(argv[1:])
  except (ValueError, OSError) as error:
    print(f"ramjax convert {argv[0]}: {error}", file=sys.stderr)
    # Where 1 is an answer, an error is something else.
    return getattr(module, "ERROR_STATUS", 1)
