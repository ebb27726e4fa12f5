# SPDX-License-Identifier: Apache-2.0
"""`ramjax eval win_rate`: how often a judge prefers a model's answers."""

import argparse
import contextlib
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ramjax.data import templates
from ramjax.evals import (
  alpaca_annotations,
  judge_canaries,
  judge_prompt,
  judged_pairs,
  model_outputs,
  pair_readers,
  pair_win_rate,
)
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.judge_canaries import Canary
from ramjax.evals.judged_pairs import JudgedPairs, VerdictFile
from ramjax.evals.local_engine import LocalEngine
from ramjax.evals.pairwise_judge import Pair, PairJudge, PairVerdict
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import eval_result, generate_options, option_types
from ramjax.tools.local_model import open_local

BENCHMARK = "win_rate"
ANNOTATIONS_FILE = "annotations.json"
VERDICTS_FILE = "verdicts.jsonl"
# Pairs of a chunk, for each that is computed at a time.
_ROUNDS = 4


class _Backend(NamedTuple):
  """Who judges.

  Attributes:
    engine: Is asked.
    identity: What tells its model from others.
    chunk: Pairs that it is given at a time.
  """

  engine: LocalEngine | HttpEngine
  identity: Mapping[str, Any]
  chunk: int


def main(argv: Sequence[str]) -> int:
  """Judges, prints, and writes.

  Args:
    argv: The arguments behind `ramjax eval win_rate`.

  Returns:
    0.

  Raises:
    ValueError: A file or an option cannot be used, or too many pairs have no
      verdict.
    OSError: A file is not there.
  """
  args = _parser().parse_args(argv)
  _check(args)
  inputs = [args.model, args.reference, args.prompt]
  prompt = judge_prompt.read(args.prompt)
  matched = pair_win_rate.match(
    model_outputs.read(args.model), model_outputs.read(args.reference)
  )
  canaries = judge_canaries.make(
    matched.pairs, num=args.canaries, seed=args.seed
  )
  names = pair_win_rate.Names(
    model=matched.outputs[0].generator or args.model.stem,
    reference=matched.references[0].generator or args.reference.stem,
    judge=_judge_name(args),
  )
  eval_result.prepare(
    args.out,
    benchmark=BENCHMARK,
    model=names.model,
    files=[VERDICTS_FILE, ANNOTATIONS_FILE],
    inputs=inputs,
  )
  with (
    VerdictFile(args.out / VERDICTS_FILE) as file,
    _backend(args) as backend,
  ):
    judge = PairJudge(
      _reader(args, backend.engine),
      prompt,
      both_orders=args.both_orders,
      seed=args.seed,
      fits=backend.engine.fits
      if isinstance(backend.engine, LocalEngine)
      else None,
    )
    judged, of_canaries = _judge(args, judge, backend, file, matched, canaries)
  evaluation = pair_win_rate.evaluate(
    BENCHMARK, matched, judged, names, canaries, of_canaries, args.prices
  )
  annotations = args.out / ANNOTATIONS_FILE
  alpaca_annotations.write(
    annotations, pair_win_rate.annotations(matched, judged.verdicts, names)
  )
  eval_result.conclude(
    evaluation,
    args.out,
    inputs=inputs,
    command=["ramjax", "eval", BENCHMARK, *argv],
    written_before=[args.out / VERDICTS_FILE, annotations],
  )
  return 0


def _judge(
  args: argparse.Namespace,
  judge: PairJudge,
  backend: _Backend,
  file: VerdictFile,
  matched: pair_win_rate.Matched,
  canaries: Sequence[Canary],
) -> tuple[JudgedPairs, Sequence[PairVerdict]]:
  """The pairs, which may not lack too many verdicts, and then the canaries."""

  def judged(pairs: Sequence[Pair], what: str, most: int | None) -> JudgedPairs:
    return judged_pairs.judge_pairs(
      judge,
      pairs,
      file,
      model=backend.identity,
      chunk=backend.chunk,
      most_failed=most,
      progress=_Progress(len(pairs), what).tell,
    )

  # 0.29 * 100 is a little less than 29 in floats.
  most = int(args.max_invalid * len(matched.pairs) + 1e-9)
  pairs = judged(matched.pairs, "pairs", most)
  judged_pairs.require_valid(pairs, args.max_invalid)
  return pairs, judged([c.pair for c in canaries], "canaries", None).verdicts


class _Progress:
  """A line on stderr for each tenth of the pairs."""

  def __init__(self, total: int, what: str):
    self._total, self._what = total, what

  def tell(self, done: int) -> None:
    total = self._total
    if done == total or done * 10 // total > (done - 1) * 10 // total:
      _say(f"judged {done:,} of {total:,} {self._what}")


def _say(line: str) -> None:
  print(line, file=sys.stderr, flush=True)


def _reader(
  args: argparse.Namespace, engine: LocalEngine | HttpEngine
) -> pair_readers.Reader:
  if args.pattern is None:
    first, second = args.identifiers
    return pair_readers.LogprobReader(
      engine, identifiers=(first, second), num_top=args.top_logprobs
    )
  return pair_readers.PatternReader(
    engine,
    pattern=args.pattern,
    options=SamplingOptions(
      temperature=args.temperature, max_tokens=args.max_tokens
    ),
    num_samples=args.samples,
  )


@contextlib.contextmanager
def _backend(args: argparse.Namespace) -> Iterator[_Backend]:
  if _is_url(args.judge):
    engine = HttpEngine(
      args.judge,
      args.judge_model,
      api_key_env=args.api_key_env,
      concurrency=args.concurrency,
      timeout_s=args.timeout,
      logprobs=False,
      say=_say,
    )
    # Each verdict is kept as it arrives, so all may be asked at once.
    identity = {"endpoint": engine.url, "name": engine.model}
    yield _Backend(engine, identity, chunk=2**31)
    return
  local = open_local(pathlib.Path(args.judge), template=args.template or "")
  try:
    with local.engine(num_slots=args.slots) as engine:
      yield _Backend(engine, local.identity(), chunk=_ROUNDS * args.slots)
  finally:
    local.source.close()


def _is_url(judge: str) -> bool:
  return judge.startswith(("http://", "https://"))


def _judge_name(args: argparse.Namespace) -> str:
  if _is_url(args.judge):
    return args.judge_model
  return pathlib.Path(args.judge).resolve().name


def _check(args: argparse.Namespace) -> None:
  """Refuses options that do not go together.

  Raises:
    ValueError: Which, and what to do.
  """
  is_url = _is_url(args.judge)
  if is_url and not args.judge_model:
    raise ValueError(
      f"--judge={args.judge} is an endpoint: --judge-model=NAME must give its"
      " name of the model."
    )
  for name, fits in (
    ("judge_model", is_url),
    ("api_key_env", is_url),
    ("prices", is_url),
    ("template", not is_url),
  ):
    if getattr(args, name) and not fits:
      raise ValueError(
        f"--{name.replace('_', '-')} is for"
        f" {'a folder' if is_url else 'an endpoint'}, and --judge={args.judge}"
        " is none: drop it."
      )
  if args.pattern is None and args.samples > 1:
    raise ValueError(
      f"--samples={args.samples} is for --pattern: log-probabilities are the"
      " same each time."
    )
  if not 0 <= args.max_invalid < 1:
    raise ValueError(
      f"--max-invalid={args.max_invalid} must be a share from 0 to below 1."
    )


def _identifiers(text: str) -> tuple[str, str]:
  first, comma, second = text.partition(",")
  if not comma or not first or not second or "," in second or first == second:
    raise argparse.ArgumentTypeError(
      f"{text!r} must be two different tokens with a comma between them"
    )
  return first, second


def _prices(text: str) -> tuple[float, float]:
  try:
    read, written = map(float, text.split(","))
  except ValueError:
    read = written = math.nan
  if not (0 <= read < math.inf and 0 <= written < math.inf):
    raise argparse.ArgumentTypeError(
      f"{text!r} must be two prices with a comma between them, such as 2.5,10"
    )
  return read, written


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax eval win_rate",
    description=(
      "Have a judge compare a model's answers with a baseline's, and say how"
      " often it prefers them.\nThe judge is a model here (a folder) or behind"
      " an OpenAI-compatible endpoint (a URL). It also\njudges canaries, pairs"
      " with a known verdict, which say how far it can be trusted.\n\n"
      "The same command again continues one that was stopped: no verdict in"
      f" DIR/{VERDICTS_FILE}\nis asked for twice. An endpoint's model is known"
      " by URL and name alone: where the server\nmay have put other weights"
      " behind them, give another --out."
    ),
    epilog=(
      "examples:\n"
      "  ramjax eval win_rate --model=outputs.json --reference=reference.json"
      " \\\n    --judge=Llama-3.1-70B-Instruct --prompt=alpaca_eval_clf.txt"
      " --out=results\n"
      "  ramjax eval win_rate --model=outputs.json --reference=reference.json"
      " \\\n    --judge=http://localhost:8000 --judge-model=large"
      " --prompt=template.txt \\\n    --pattern="
      r"'\[\[(?:(?P<A>A)|(?P<B>B)|(?P<tie>C))\]\]'"
      " --both-orders --out=results"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  for name, text in (
    ("model", "the model's answers: model_outputs.json"),
    ("reference", "the baseline's answers to the same instructions"),
    (
      "prompt",
      "what the judge is shown: turns between <|im_start|>ROLE and <|im_end|>,"
      " with {instruction}, {output_1} and {output_2}",
    ),
  ):
    parser.add_argument(
      f"--{name}", required=True, type=pathlib.Path, metavar="FILE", help=text
    )
  parser.add_argument(
    "--out",
    required=True,
    type=pathlib.Path,
    metavar="DIR",
    help=f"where {VERDICTS_FILE}, {ANNOTATIONS_FILE} and {eval_result.FILE} go",
  )
  _add_reading(parser)
  _add_judge(parser)
  return parser


def _add_reading(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("how the judge is asked and read")
  how = group.add_mutually_exclusive_group()
  how.add_argument(
    "--identifiers",
    type=_identifiers,
    default=("m", "M"),
    metavar="FIRST,SECOND",
    help="tokens for the output shown first and second: their probabilities as"
    " the judge's first token are the preference (default: m,M)",
  )
  how.add_argument(
    "--pattern",
    metavar="REGEX",
    help="read a verdict in the judge's words, by the groups (?P<A>...),"
    " (?P<B>...) and (?P<tie>...); the last match counts",
  )
  group.add_argument(
    "--top-logprobs",
    type=option_types.positive_int,
    default=5,
    metavar="NUM",
    help="likeliest tokens among which identifiers are looked for (default: 5)",
  )
  group.add_argument(
    "--both-orders",
    action="store_true",
    help="show each pair in both orders, whose mean counts (default: in one,"
    " drawn by the instruction as AlpacaEval does)",
  )
  group.add_argument(
    "--seed", type=int, default=0, help="of orders and samples (default: 0)"
  )
  group.add_argument(
    "--max-invalid",
    type=float,
    default=0.1,
    metavar="SHARE",
    help="of pairs that may have no verdict (default: 0.1)",
  )
  group.add_argument(
    "--canaries",
    type=option_types.count,
    default=5,
    metavar="NUM",
    help="of each of the five kinds (default: 5)",
  )
  group = parser.add_argument_group("with --pattern")
  group.add_argument(
    "--samples",
    type=option_types.positive_int,
    default=1,
    metavar="NUM",
    help="verdicts on each pair and order; the majority counts (default: 1)",
  )
  group.add_argument(
    "--temperature", type=float, default=0.0, help="of a verdict (default: 0)"
  )
  group.add_argument(
    "--max-tokens",
    type=option_types.positive_int,
    default=1024,
    metavar="NUM",
    help="of a verdict (default: 1024)",
  )


def _add_judge(parser: argparse.ArgumentParser) -> None:
  group = parser.add_argument_group("the judge")
  group.add_argument(
    "--judge",
    required=True,
    metavar="FOLDER|URL",
    help="a run's folder, a Hugging Face one, or an endpoint",
  )
  group.add_argument(
    "--judge-model", default="", metavar="NAME", help="an endpoint's model"
  )
  group.add_argument(
    "--api-key-env",
    default="",
    metavar="VARIABLE",
    help="environment variable that holds the API key (default: no key)",
  )
  group.add_argument(
    "--prices",
    type=_prices,
    metavar="READ,WRITTEN",
    help="of a million tokens that an endpoint reads and writes: says what the"
    " verdicts cost, those of earlier runs of this command included",
  )
  group.add_argument(
    "--concurrency",
    type=option_types.positive_int,
    default=generate_options.DEFAULT_CONCURRENCY,
    metavar="NUM",
    help="requests under way at a time (default: %(default)s)",
  )
  group.add_argument(
    "--timeout",
    type=option_types.positive_float,
    default=generate_options.DEFAULT_TIMEOUT_S,
    metavar="SECONDS",
    help="for one answer (default: %(default)g)",
  )
  group.add_argument(
    "--template",
    choices=templates.TEMPLATE_NAMES,
    metavar="NAME",
    help="a folder's chat template (default: its own)",
  )
  group.add_argument(
    "--slots",
    type=option_types.positive_int,
    default=generate_options.DEFAULT_SLOTS,
    metavar="NUM",
    help="pairs computed at a time here (default: %(default)s)",
  )
