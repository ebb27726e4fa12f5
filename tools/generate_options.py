# SPDX-License-Identifier: Apache-2.0
"""The options of `ramjax generate`, and which of them go together."""

import argparse
import pathlib
from collections.abc import Sequence

from ramjax.data import parse_prompts, templates
from ramjax.models.config import DTYPES
from ramjax.tools import option_types

# Options of one kind of engine; their absence is told apart from a default.
_LOCAL = ("template", "step", "average", "dtype", "slots")
_ENDPOINT = (
  "endpoint_model",
  "api_key_env",
  "concurrency",
  "timeout",
  "no_logprobs",
  "cache",
)
DEFAULT_SLOTS = 64
DEFAULT_CONCURRENCY = 16
DEFAULT_TIMEOUT_S = 600.0

_DESCRIPTION = """\
Answer prompts with a model here (--model) or behind an OpenAI-compatible
endpoint (--endpoint: vLLM, SGLang, `ramjax serve`, hosted APIs).

Each line of the output is a record of the input with its answers beside it:
"responses": [{"text", "finished", "num_tokens", "logp"}, ...]. "finished" is
whether the answer ended by itself, "logp" the sum of its tokens' natural
log-probabilities under the model as it is; null where an endpoint does not tell.

Run the same command again to continue one that was stopped. With --model the
file is then the same to the byte as that of a run never stopped, on the same
machine. What made it stands in OUTPUT.run.json. An endpoint's model is known by
URL and name alone, there and in --cache: where the server may have put other
weights behind them, give another --output and --cache.
"""

_EPILOG = """\
records: the first of these that fits; other keys are carried along
  {formats}
  A prompt that is a string is asked as one user turn.

examples:
  ramjax generate --model=runs/quickstart --prompts=tasks:200 \\
      --output=answers.jsonl --temperature=0
  ramjax generate --model=Llama-3.2-1B-Instruct --prompts=questions.jsonl \\
      --output=candidates.jsonl --samples=8 --temperature=0.8 --max-tokens=512
  ramjax generate --endpoint=http://localhost:8000 --endpoint-model=llama \\
      --prompts=questions.jsonl --output=answers.jsonl
  ramjax generate --endpoint=https://api.example.com/v1 \\
      --endpoint-model=large --api-key-env=EXAMPLE_API_KEY \\
      --prompts=questions.jsonl --output=answers.jsonl --cache=cache
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
  """The options, which fit together; exits with 2 where they do not."""
  parser = _parser()
  args = parser.parse_args(argv)
  others = _LOCAL if args.endpoint else _ENDPOINT
  for name in others:
    value = getattr(args, name)
    if value is not None and value is not False:
      option = "--" + name.replace("_", "-")
      kind = "--model" if args.endpoint else "--endpoint"
      parser.error(f"{option} goes with {kind}, which is not given")
  if args.endpoint and not args.endpoint_model:
    parser.error(
      "--endpoint needs --endpoint-model, the server's name of its model"
    )
  if args.output.suffix != ".jsonl":
    parser.error(f"--output={args.output}: the name must end in .jsonl")
  if "" in args.stop:
    parser.error("--stop='' would end every answer before it begins")
  args.slots = args.slots or DEFAULT_SLOTS
  args.concurrency = args.concurrency or DEFAULT_CONCURRENCY
  args.timeout = args.timeout or DEFAULT_TIMEOUT_S
  return args


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax generate",
    description=_DESCRIPTION,
    epilog=_EPILOG.format(formats="\n  ".join(parse_prompts.PROMPT_FORMATS)),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  who = parser.add_mutually_exclusive_group(required=True)
  who.add_argument(
    "--model",
    type=pathlib.Path,
    metavar="FOLDER",
    help="a run's folder or a Hugging Face one",
  )
  who.add_argument(
    "--endpoint", metavar="URL", help="such as http://localhost:8000/v1"
  )
  parser.add_argument(
    "--prompts",
    required=True,
    metavar="SOURCE",
    help="a file (.jsonl, .json, each also .gz, or .parquet), tasks:NUM for"
    " tasks that ramjax writes itself, or any other path of a config's sources",
  )
  parser.add_argument(
    "--output",
    required=True,
    type=pathlib.Path,
    metavar="FILE.jsonl",
    help="where the answers go, in the order of the prompts",
  )
  parser.add_argument(
    "--limit",
    type=option_types.positive_int,
    metavar="NUM",
    help="only the first NUM prompts",
  )
  parser.add_argument(
    "--force",
    action="store_true",
    help="write the output anew, whatever is in it",
  )
  _add_sampling(parser)
  _add_local(parser)
  _add_endpoint(parser)
  return parser


def _add_sampling(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("sampling")
  group.add_argument(
    "--samples",
    type=option_types.positive_int,
    default=1,
    metavar="NUM",
    help="answers to each prompt (default: %(default)s)",
  )
  group.add_argument(
    "--temperature",
    type=float,
    default=1.0,
    help="0 takes the most likely token; 1 is the model's own distribution"
    " (default: %(default)g)",
  )
  group.add_argument(
    "--top-p",
    type=float,
    default=1.0,
    help="keep the most likely tokens that hold this probability (default: 1,"
    " all)",
  )
  group.add_argument(
    "--top-k",
    type=int,
    default=0,
    help="keep this many of the most likely tokens (default: 0, all)",
  )
  group.add_argument(
    "--min-p",
    type=float,
    default=0.0,
    help="keep tokens at least this share as likely as the likeliest (default:"
    " 0, all)",
  )
  group.add_argument(
    "--repetition-penalty",
    type=float,
    default=1.0,
    help="above 1: makes tokens that were there less likely (default: 1)",
  )
  group.add_argument(
    "--max-tokens",
    type=option_types.positive_int,
    default=256,
    metavar="NUM",
    help="of an answer (default: %(default)s)",
  )
  group.add_argument(
    "--stop",
    action="append",
    default=[],
    metavar="TEXT",
    help="ends an answer and is no part of it; may be given several times",
  )
  group.add_argument(
    "--seed",
    type=int,
    default=0,
    help="from 0 to 2^32 - 1; each sample has its own, made of it, the row's"
    " number and the sample's (default: 0)",
  )


def _add_local(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("with --model")
  group.add_argument(
    "--template",
    choices=templates.TEMPLATE_NAMES,
    metavar="NAME",
    help=f"chat template: {', '.join(templates.TEMPLATE_NAMES)} (default: the"
    " one a run was trained with, or that spells like the folder's own)",
  )
  group.add_argument(
    "--step",
    type=int,
    metavar="NUM",
    help="checkpoint of a run (default: the newest)",
  )
  group.add_argument(
    "--average",
    action="store_true",
    help="the moving average of the weights (optim.ema_decay)",
  )
  group.add_argument(
    "--dtype",
    choices=DTYPES,
    help="to compute in (default: as trained, or as the weights are stored)",
  )
  group.add_argument(
    "--slots",
    type=option_types.positive_int,
    metavar="NUM",
    help="answers continued at a time; more are faster and take more memory"
    f" (default: {DEFAULT_SLOTS})",
  )


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("with --endpoint")
  group.add_argument(
    "--endpoint-model",
    metavar="NAME",
    help="the server's name of its model",
  )
  group.add_argument(
    "--api-key-env",
    metavar="VARIABLE",
    help="environment variable that holds the API key (default: no key)",
  )
  group.add_argument(
    "--concurrency",
    type=option_types.positive_int,
    metavar="NUM",
    help=f"requests under way at a time (default: {DEFAULT_CONCURRENCY})",
  )
  group.add_argument(
    "--timeout",
    type=option_types.positive_int,
    metavar="SECONDS",
    help=f"for one answer (default: {DEFAULT_TIMEOUT_S:g})",
  )
  group.add_argument(
    "--no-logprobs",
    action="store_true",
    help="ask for no log-probabilities, which some servers refuse",
  )
  group.add_argument(
    "--cache",
    type=pathlib.Path,
    metavar="FOLDER",
    help="keep every answer there as it arrives, and ask for none twice",
  )
