# SPDX-License-Identifier: Apache-2.0
"""A model as a judge of pairs: which of two answers is better, and how surely.

A preference is from 1 (the baseline's output is better) to 2 (the model's), as
AlpacaEval has it.
"""

import collections
import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ramjax.data.rows import Message
from ramjax.evals import shown_order
from ramjax.evals.engine import ChatRequest
from ramjax.evals.judge_prompt import JudgePrompt
from ramjax.evals.pair_readers import Reader
from ramjax.evals.sample_seeds import sample_seed
from ramjax.evals.win_rate import TIE


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two answers to one instruction.

  Attributes:
    instruction: What was asked.
    output_1: The baseline's answer.
    output_2: The model's.
    reference: A good answer that the judge is shown besides, if its prompt has
      a slot for it.
  """

  instruction: str
  output_1: str
  output_2: str
  reference: str | None = None


@dataclasses.dataclass(frozen=True)
class Look:
  """What a judge said of a pair in one order.

  Attributes:
    swapped: Whether the model's output was shown first.
    preference: For the model's output, from 1 to 2; None is no verdict.
    said: What the judge said, of JSON's types.
    problem: Why there is no verdict; "" where there is one.
  """

  swapped: bool
  preference: float | None
  said: Any
  problem: str = ""


@dataclasses.dataclass(frozen=True)
class PairVerdict:
  """A verdict, or why there is none.

  Attributes:
    preference: From 1 to 2; None is no verdict.
    problem: Why there is none; "" where there is.
    looks: One for each order that was shown; none where nothing was asked.
    num_requests: What it took.
    num_prompt_tokens: Tokens that the judge read, as far as it is told.
    num_tokens: Tokens that the judge wrote.
    failed: Whether the engine gave no answer: asking again may help.
  """

  preference: float | None
  problem: str = ""
  looks: tuple[Look, ...] = ()
  num_requests: int = 0
  num_prompt_tokens: int = 0
  num_tokens: int = 0
  failed: bool = False

  @property
  def orders_agree(self) -> bool | None:
    """Whether both orders prefer the same; None unless both have a verdict."""
    sides = [side(look.preference) for look in self.looks]
    if len(sides) < 2 or None in sides:
      return None
    return sides[0] == sides[1]


class PairJudge:
  """Shows pairs to an engine, and reads what it says of them."""

  def __init__(
    self,
    reader: Reader,
    prompt: JudgePrompt,
    *,
    both_orders: bool = False,
    seed: int = 0,
    fits: Callable[[ChatRequest], bool] | None = None,
  ):
    """Cheap: nothing is asked yet.

    Args:
      reader: Asks an engine, and reads an answer.
      prompt: What is shown.
      both_orders: Whether each pair is shown in both orders, whose mean counts;
        otherwise in one, chosen as AlpacaEval chooses it (`shown_order`).
      seed: Of the orders and of what is sampled, in [0, 2^32).
      fits: Whether the engine has room for a request; what does not fit is not
        asked, and has no verdict. None asks it all.
    """
    self._reader = reader
    self._prompt = prompt
    self._both_orders = both_orders
    self._seed = seed
    self._fits = fits

  def identity(self) -> Mapping[str, Any]:
    """All but the model that decides a verdict, of JSON's types."""
    return {
      "reader": self._reader.identity(),
      "prompt": self._prompt.digest,
      "both_orders": self._both_orders,
      "seed": self._seed,
    }

  def judge(
    self,
    pairs: Sequence[Pair],
    *,
    arrived: Callable[[int, PairVerdict], None] | None = None,
  ) -> list[PairVerdict]:
    """A verdict on each pair, in their order.

    Equal texts are a tie that nobody is asked about. With both orders, a pair
    has a verdict if both looks have one: one alone would favour a place.

    Args:
      pairs: Any number.
      arrived: Told the index of each pair and its verdict, as soon as it is
        known.
    """
    verdicts: dict[int, PairVerdict] = {}

    def conclude(index: int, verdict: PairVerdict) -> None:
      verdicts[index] = verdict
      if arrived is not None:
        arrived(index, verdict)

    requests: list[ChatRequest] = []
    # Of each request: its pair, and whether that is shown swapped.
    places: list[tuple[int, bool]] = []
    waiting: collections.Counter[int] = collections.Counter()
    for index, pair in enumerate(pairs):
      if pair.output_1 == pair.output_2:
        conclude(index, PairVerdict(TIE))
        continue
      asked = [
        (request, swapped)
        for swapped in self._orders(pair)
        for request in self._requests(pair, swapped)
      ]
      if self._fits is not None and not all(self._fits(r) for r, _ in asked):
        conclude(index, PairVerdict(None, "too long for the judge"))
        continue
      requests += [request for request, _ in asked]
      places += [(index, swapped) for _, swapped in asked]
      waiting[index] = len(asked)
    outcomes: dict[int, list[tuple[bool, Any]]] = collections.defaultdict(list)

    def heard(request: int, outcome: Any) -> None:
      index, swapped = places[request]
      outcomes[index].append((swapped, outcome))
      waiting[index] -= 1
      if not waiting[index]:
        conclude(index, self._verdict(outcomes.pop(index)))

    self._reader.ask(requests, heard)
    return [verdicts[i] for i in range(len(pairs))]

  def _orders(self, pair: Pair) -> tuple[bool, ...]:
    if self._both_orders:
      return (False, True)
    return (shown_order.is_swapped(pair.instruction, self._seed),)

  def _requests(self, pair: Pair, swapped: bool) -> list[ChatRequest]:
    shown = pair.output_1, pair.output_2
    first, second = reversed(shown) if swapped else shown
    messages = self._prompt.messages(
      instruction=pair.instruction,
      output_1=first,
      output_2=second,
      reference=pair.reference,
    )
    # The same pair is judged alike, wherever it stands.
    row = zlib.crc32(_text(messages).encode())
    return [
      ChatRequest(
        messages, self._reader.options, seed=sample_seed(self._seed, row, k)
      )
      for k in range(self._reader.num_samples)
    ]

  def _verdict(self, outcomes: Sequence[tuple[bool, Any]]) -> PairVerdict:
    told = [o for _, o in outcomes if not isinstance(o, OSError)]
    spent: dict[str, Any] = {
      "num_requests": len(outcomes),
      "num_prompt_tokens": sum(o.num_prompt_tokens or 0 for o in told),
      "num_tokens": sum(o.num_tokens for o in told),
    }
    for _, outcome in outcomes:
      if isinstance(outcome, OSError):
        return PairVerdict(None, str(outcome), failed=True, **spent)
    looks = []
    for swapped in sorted({swapped for swapped, _ in outcomes}):
      of_order = [o for other, o in outcomes if other == swapped]
      shown, said = self._reader.read(of_order)
      problem = "" if shown is not None else "no verdict could be read"
      # In the order shown, 1 is the first output and 2 the second.
      preference = 3.0 - shown if swapped and shown is not None else shown
      looks.append(Look(swapped, preference, said, problem))
    known = [x.preference for x in looks if x.preference is not None]
    if len(known) < len(looks):
      problem = next(look.problem for look in looks if look.problem)
      return PairVerdict(None, problem, tuple(looks), **spent)
    return PairVerdict(sum(known) / len(known), "", tuple(looks), **spent)


def side(preference: float | None) -> int | None:
  """-1 where the baseline's output is better, 1 the model's, 0 a tie."""
  if preference is None:
    return None
  return (preference > TIE) - (preference < TIE)


def _text(messages: Sequence[Message]) -> str:
  return "\n".join(f"{turn.role}: {turn.content}" for turn in messages)
