# SPDX-License-Identifier: Apache-2.0
"""`ramjax COMMAND ...`: finds the command's module and hands over."""

import importlib
import importlib.metadata
import signal
import sys
from collections.abc import Sequence

# Command -> (module with `main(argv) -> int`, one line for --help).
_COMMANDS = {
  "train": ("ramjax.tools.train", "train an experiment, or continue it"),
  "supervise": (
    "ramjax.tools.supervise",
    "start a run again where that helps, from its last checkpoint",
  ),
  "launch": ("ramjax.tools.launch", "write what starts a run on a pod"),
  "plan": ("ramjax.tools.plan", "whether a run fits a TPU pod, and how fast"),
  "doctor": ("ramjax.tools.doctor", "look at the data of a run before it runs"),
  "report": (
    "ramjax.tools.report",
    "one HTML page about a run, or about several",
  ),
  "results": ("ramjax.tools.results", "held-out figures of runs, side by side"),
  "chat": ("ramjax.tools.chat", "talk to a model, or to two side by side"),
  "serve": ("ramjax.tools.serve", "answer requests over HTTP, as OpenAI's API"),
  "eval": (
    "ramjax.tools.eval",
    "what a model is worth, by published benchmarks",
  ),
  "convert": ("ramjax.tools.convert", "weights to and from Hugging Face"),
  "tokenizer": ("ramjax.tools.tokenizer", "train a tokenizer on rows"),
  "generate": ("ramjax.tools.generate", "answer the prompts of a file"),
  "prepare": ("ramjax.tools.prepare", "write rows as a TFDS dataset"),
  "bench": ("ramjax.tools.bench", "measure speed and memory"),
}

# These must not die silently of the `tee` they are piped into, nor of a
# connection that the other side closes.
_OUTLIVE_PIPES = ("train", "supervise", "generate", "serve", "eval")


def _help() -> str:
  lines = "\n".join(
    f"  {name:<10} {summary}" for name, (_, summary) in _COMMANDS.items()
  )
  return (
    "usage: ramjax COMMAND [options]\n\n"
    "Align Llama models in JAX.\n\n"
    f"commands:\n{lines}\n\n"
    "`ramjax COMMAND --help` explains each. First try:\n"
    "  ramjax train --config=sft_quickstart --workdir=runs/quickstart\n"
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command; returns its exit status (2: no such command)."""
  started = argv is None
  argv = list(sys.argv[1:] if argv is None else argv)
  if started and (
    not argv or argv[0] not in _OUTLIVE_PIPES or "--help" in argv
  ):
    # A reader that closes early (`| head`) is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
  if not argv or argv[0] in ("-h", "--help", "help"):
    print(_help(), end="")
    return 0 if argv else 2
  if argv[0] == "--version":
    print(f"ramjax {importlib.metadata.version('ramjax')}")
    return 0
  if argv[0] not in _COMMANDS:
    print(
      f"ramjax: {argv[0]!r} is not a command: {', '.join(_COMMANDS)}.",
      file=sys.stderr,
    )
    return 2
  module, _ = _COMMANDS[argv[0]]
  try:
    return importlib.import_module(module).main(argv[1:])
  except KeyboardInterrupt:
    if not started:
      raise
    print(f"\nramjax {argv[0]}: interrupted", file=sys.stderr)
    return 130  # 128 + SIGINT, as shells count.


if __name__ == "__main__":
  sys.exit(main())
