# SPDX-License-Identifier: Apache-2.0
"""`ramjax chat`: talk to a model in the terminal, or to two side by side."""

import argparse
import contextlib
import pathlib
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ramjax.data import templates
from ramjax.evals import sample_seeds
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import chat_commands, loaded_model
from ramjax.tools.chat_speaker import Speaker
from ramjax.tools.chat_terminal import Terminal


def main(argv: Sequence[str]) -> int:
  """Chats until the input ends.

  Args:
    argv: The arguments behind `ramjax chat`.

  Returns:
    The exit status: 0, or 1 if a model cannot be opened or run. Wrong arguments
    exit with 2, as argparse does.
  """
  args = _parser().parse_args(argv)
  try:
    options = _options(args)
    speakers = _speakers(args, options)
    for speaker in speakers:
      speaker.system = args.system
    seed = secrets.randbits(32) if args.seed is None else args.seed
    _chat(speakers, Terminal(sys.stdout), seed)
  except (ValueError, OSError) as error:
    print(f"ramjax chat: {error}", file=sys.stderr)
    return 1
  return 0


def _chat(speakers: Sequence[Speaker], terminal: Terminal, seed: int) -> None:
  asks = sys.stdin.isatty()
  if asks:
    names = " and ".join(speaker.name for speaker in speakers)
    terminal.note(
      f"Talking to {names}. /help lists the commands. The first answer waits"
      " until the model is compiled."
    )
  num_asked = 0
  for line in _lines(terminal, asks=asks):
    try:
      if line == "/quit":
        return
      if line.startswith("/") and not line.startswith("//"):
        terminal.note(chat_commands.run(line, speakers))
        continue
      line = line.removeprefix("/") if line.startswith("//") else line
      _answer(
        line, speakers, terminal, sample_seeds.sample_seed(seed, num_asked, 0)
      )
      num_asked += 1
    except (ValueError, OSError) as error:
      terminal.note(str(error))


def _lines(terminal: Terminal, *, asks: bool) -> Iterator[str]:
  """What the user enters, without blank lines, until the input ends."""
  if asks:
    with contextlib.suppress(ImportError):  # Not on every system.
      import readline  # noqa: F401 - gives `input` its editing and history.
  parts: list[str] = []
  while True:
    try:
      line = input(("... " if parts else "> ") if asks else "")
    except EOFError:
      if asks:
        terminal.write("\n")
      return
    except KeyboardInterrupt:
      if not asks:
        raise
      terminal.write("\n")
      terminal.note("Ctrl-D or /quit leaves.")
      parts = []
      continue
    if line.endswith("\\"):
      parts.append(line[:-1])
      continue
    whole = "\n".join([*parts, line]).strip()
    parts = []
    if whole:
      yield whole


def _answer(
  text: str, speakers: Sequence[Speaker], terminal: Terminal, seed: int
) -> None:
  """Asks all models, and shows what they write until all have ended."""
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise ValueError("that line is not UTF-8 text: not sent.") from error
  asked: list[Speaker] = []
  try:
    for speaker in speakers:
      speaker.ask(text, seed=seed)
      asked.append(speaker)
  except ValueError:
    for speaker in asked:  # Histories stay alike.
      speaker.stop()
      speaker.undo()
    raise
  page, together = terminal.page([speaker.name for speaker in speakers])
  with _interruptible() as stopped:
    for group in [speakers] if together else [[s] for s in speakers]:
      while writing := [s for s in group if s.writing]:
        for speaker in writing:
          if stopped():
            speaker.stop()
          elif piece := speaker.go_on():
            page.show(speakers.index(speaker), piece)
          if not speaker.writing:
            page.end(speakers.index(speaker))
    if stopped():
      terminal.note("(stopped)")


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
  """Within, the first Ctrl-C is only noted; a second one interrupts.

  An exception out of a running program would lose the rows that it holds.
  """
  signals: list[int] = []

  def note(number: int, frame: Any) -> None:
    del frame
    if signals:
      raise KeyboardInterrupt
    signals.append(number)

  before = signal.signal(signal.SIGINT, note)
  try:
    yield lambda: bool(signals)
  finally:
    signal.signal(signal.SIGINT, before)


def _options(args: argparse.Namespace) -> SamplingOptions:
  return SamplingOptions(
    temperature=args.temperature,
    top_k=args.top_k,
    top_p=args.top_p,
    min_p=args.min_p,
    repetition_penalty=args.repetition_penalty,
    max_tokens=args.max_tokens,
  )


def _speakers(
  args: argparse.Namespace, options: SamplingOptions
) -> list[Speaker]:
  wanted = [(args.model, args.step, args.average, args.template)]
  if args.against is not None:
    wanted.append(
      (
        args.against,
        args.step_against,
        args.average_against,
        args.template_against,
      )
    )
  elif args.step_against is not None or args.average_against:
    raise ValueError("--step-against and --average-against go with --against.")
  speakers: list[Speaker] = []
  for folder, step, average, template in wanted:
    model = loaded_model.load(
      folder, step=step, average=average, template=template, dtype=args.dtype
    )
    name = _name(folder, step, average)
    if any(speaker.name == name for speaker in speakers):
      name = str(folder)
    speakers.append(Speaker(name, model, options))
  return speakers


def _name(folder: pathlib.Path, step: int | None, average: bool) -> str:
  name = folder.resolve().name
  name += "" if step is None else f" step {step}"
  return f"{name} average" if average else name


def _seed(text: str) -> int:
  if not (text.isascii() and text.isdigit() and int(text) < 2**32):
    raise argparse.ArgumentTypeError(f"{text!r} is no integer from 0 to 2^32-1")
  return int(text)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax chat",
    description=(
      "Talk to a model in the terminal, or to two at once, each with its own"
      " history.\nLines from a pipe are turns, too: answers are then plain"
      " text. Within the chat:\n\n" + chat_commands.HELP
    ),
    epilog=(
      "examples:\n"
      "  ramjax chat --model=runs/quickstart\n"
      "  ramjax chat --model=runs/dpo --against=runs/sft --temperature=0.7\n"
      "  ramjax chat --model=runs/dpo --step=100 --against=runs/dpo\n"
      "  echo 'Name a colour.' | ramjax chat --model=exported --temperature=0"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  loaded_model.add_options(parser)
  other = parser.add_argument_group("another model, to compare with")
  other.add_argument("--against", metavar="FOLDER", type=pathlib.Path)
  other.add_argument("--template-against", choices=templates.TEMPLATE_NAMES)
  other.add_argument("--step-against", type=int, metavar="STEP")
  other.add_argument("--average-against", action="store_true")
  _add_sampling(parser)
  return parser


def _add_sampling(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("answers")
  group.add_argument(
    "--system",
    default="",
    metavar="TEXT",
    help="system message (default: none)",
  )
  group.add_argument(
    "--max-tokens",
    type=int,
    default=512,
    metavar="N",
    help="of an answer (default: %(default)s)",
  )
  group.add_argument(
    "--temperature",
    type=float,
    default=1.0,
    help="0 takes the likeliest token (default: %(default)s)",
  )
  group.add_argument(
    "--top-p", type=float, default=1.0, help="nucleus (default: all tokens)"
  )
  group.add_argument(
    "--top-k", type=int, default=0, help="likeliest tokens (default: all)"
  )
  group.add_argument(
    "--min-p",
    type=float,
    default=0.0,
    help="least share of the likeliest token's probability (default: 0)",
  )
  group.add_argument(
    "--repetition-penalty",
    type=float,
    default=1.0,
    help="above 1 repeats less (default: %(default)s)",
  )
  group.add_argument(
    "--seed", type=_seed, help="makes answers repeatable (default: random)"
  )
