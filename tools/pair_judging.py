# SPDX-License-Identifier: Apache-2.0
"""A judge is asked about pairs of answers, once about each, and then canaries.

For any benchmark that compares two models' answers; options are those of
`pair_judging_options`.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ramjax.evals import (
  alpaca_annotations,
  judge_account,
  judge_canaries,
  judge_prompt,
  judged_pairs,
  model_outputs,
  pair_readers,
  pair_win_rate,
  sample_seeds,
)
from ramjax.evals.alpaca_annotations import Annotations
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.judge_account import Account, Judging
from ramjax.evals.judge_prompt import JudgePrompt
from ramjax.evals.judged_pairs import JudgedPairs, VerdictFile
from ramjax.evals.local_engine import LocalEngine
from ramjax.evals.model_outputs import ModelOutput
from ramjax.evals.pair_win_rate import Matched, Names
from ramjax.evals.pairwise_judge import Pair, PairJudge
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import (
  eval_sides,
  judge_failures,
  pair_judging_options,
  unasked_judge,
)
from ramjax.tools.eval_sides import Side
from ramjax.tools.local_model import LocalModel
from ramjax.tools.unasked_judge import Unasked

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
    max_tokens: Of a verdict in words.
  """

  engine: LocalEngine | HttpEngine
  identity: Mapping[str, Any]
  chunk: int
  max_tokens: int


class Shown(NamedTuple):
  """What a judge is shown besides the pairs.

  Attributes:
    prompt: The template.
    references: Known good answers; None where the template has no slot.
    paths: The files.
  """

  prompt: JudgePrompt
  references: Sequence[ModelOutput] | None
  paths: list[pathlib.Path]


def read(args: argparse.Namespace) -> Shown:
  """Reads what the judge is shown, before anything is asked.

  Raises:
    ValueError: A file is not of its kind, or there are references without a
      slot for them, or the reverse.
    FileNotFoundError: There is no such file.
  """
  prompt = judge_prompt.read(args.prompt)
  if prompt.has_reference and args.references is None:
    raise ValueError(
      f"--prompt={args.prompt} has the slot {{{judge_prompt.REFERENCE}}}, and"
      " nothing to fill it with: give --references=FILE, or another prompt."
    )
  if args.references is None:
    return Shown(prompt, None, [args.prompt])
  if not prompt.has_reference:
    raise ValueError(
      f"--references={args.references} would not be seen: --prompt={args.prompt}"
      f" has no slot {{{judge_prompt.REFERENCE}}}. Give a prompt that has one,"
      " or drop --references."
    )
  references = model_outputs.read(args.references)
  return Shown(prompt, references, [args.prompt, args.references])


def check(args: argparse.Namespace) -> Shown:
  """Reads what the judge is shown and opens the judge, which loads no weights.

  Args:
    args: Of the options, checked.

  Returns:
    As `read`.

  Raises:
    ValueError: As `read`; or a judge that cannot be asked, or not so.
    OSError: A file or the judge is not there.
  """
  shown = read(args)

  def make(side: Side, engine: Unasked) -> None:
    _reader(args, engine, side.most)
    sample_seeds.sample_seed(args.seed, 0, 0)  # Refuses what is none.

  unasked_judge.check(args, make, most=pair_judging_options.MAX_TOKENS)
  return shown


def check_answering(
  args: argparse.Namespace,
  shown: Shown,
  references: Sequence[ModelOutput],
  model: str,
) -> None:
  """Refuses what would be refused once a model has answered.

  Args:
    args: As for `names`.
    shown: From `check`.
    references: The baseline's answers, to what the model is asked.
    model: What it will be called.

  Raises:
    ValueError: See `with_references` and `pair_win_rate.require_names`.
  """
  # The baseline's answers stand in for those that are not there yet.
  matched = pair_win_rate.match(references, references)
  with_references(matched, shown)
  others = names(args, matched)
  pair_win_rate.require_names(None, dataclasses.replace(others, model=model))


def with_references(matched: Matched, shown: Shown) -> Matched:
  """Adds the known good answers, if any, to what is judged.

  Raises:
    ValueError: An instruction has none.
  """
  if shown.references is None:
    return matched
  return pair_win_rate.with_good_answers(matched, shown.references)


def names(args: argparse.Namespace, matched: Matched) -> Names:
  """What annotations call the parties: as their files do, or by these."""
  return Names(
    model=matched.outputs[0].generator or pathlib.Path(args.model).stem,
    reference=matched.references[0].generator or args.reference.stem,
    judge=eval_sides.name(args, "judge"),
  )


def judge(
  args: argparse.Namespace, shown: Shown, pairs: Sequence[Pair]
) -> Judging:
  """Judges pairs and canaries, but what `args.out` has verdicts on.

  Args:
    args: Of the options, checked, with `out`, a folder that is there.
    shown: From `read`.
    pairs: With a reference each, if the prompt shows one.

  Raises:
    ValueError: The judge cannot be used, or too many pairs have no verdict.
    OSError: The judge is not there.
  """
  canaries = judge_canaries.make(pairs, num=args.canaries, seed=args.seed)
  with (
    VerdictFile(args.out / VERDICTS_FILE) as file,
    _backend(args) as backend,
  ):
    asked = PairJudge(
      _reader(args, backend.engine, backend.max_tokens),
      shown.prompt,
      both_orders=args.both_orders,
      seed=args.seed,
      fits=backend.engine.fits
      if isinstance(backend.engine, LocalEngine)
      else None,
    )

    def judged(
      some: Sequence[Pair], what: str, most: int | None
    ) -> JudgedPairs:
      return judged_pairs.judge_pairs(
        asked,
        some,
        file,
        model=backend.identity,
        chunk=backend.chunk,
        most_failed=most,
        progress=_Progress(len(some), what).tell,
      )

    most = judge_failures.most_of(args.max_invalid, len(pairs))
    of_pairs = judged(pairs, "pairs", most)
    judged_pairs.require_valid(of_pairs, args.max_invalid)
    of_canaries = judged([c.pair for c in canaries], "canaries", None)
    identity = {
      "name": eval_sides.name(args, "judge"),
      **backend.identity,
      **asked.identity(),
    }
  return Judging(pairs, of_pairs, canaries, of_canaries.verdicts, identity)


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
  args: argparse.Namespace,
  engine: LocalEngine | HttpEngine | Unasked,
  max_tokens: int,
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
      temperature=args.temperature, max_tokens=max_tokens
    ),
    num_samples=args.samples,
  )


@contextlib.contextmanager
def _backend(args: argparse.Namespace) -> Iterator[_Backend]:
  most = pair_judging_options.MAX_TOKENS
  with eval_sides.opened(args, "judge", most=most) as side:
    if isinstance(side.answerer, LocalModel):
      slots = side.chunk
      with side.answerer.engine(num_slots=slots, dtype=side.dtype) as engine:
        yield _Backend(engine, side.identity, _ROUNDS * slots, side.most)
      return
    # Each verdict is kept as it arrives, so all may be asked at once.
    yield _Backend(side.answerer, side.identity, 2**31, side.most)


def annotate(
  args: argparse.Namespace,
  shown: Shown,
  matched: Matched,
  names: Names,
  *,
  key: Literal["instruction", "question_id"] = "instruction",
) -> tuple[Annotations, Account]:
  """Judges, and gives the verdicts as if they had been recorded.

  They are written to `args.out` in AlpacaEval's format and read back, so that
  all that follows is the same for verdicts from elsewhere.

  Args:
    args: As for `judge`.
    shown: From `read`.
    matched: With known good answers, if the prompt shows them.
    names: Of the parties, checked by `pair_win_rate.require_names`.
    key: What names a pair.

  Returns:
    The verdicts, and how the judge did.

  Raises:
    ValueError, OSError: See `judge`.
  """
  judging = judge(args, shown, matched.pairs)
  path = args.out / ANNOTATIONS_FILE
  alpaca_annotations.write(
    path, pair_win_rate.annotations(matched, judging.judged.verdicts, names)
  )
  account = judge_account.account(judging, args.prices)
  return alpaca_annotations.read(path, key=key), account
