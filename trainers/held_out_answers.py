# SPDX-License-Identifier: Apache-2.0
"""Held-out prompts that a model answers during training, and the verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from ramjax.data import sources
from ramjax.data.rows import Message, Row
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.data.tokenizers import Tokenizer
from ramjax.evals import responses, verified_accuracy
from ramjax.models.config import LlamaConfig

_ANSWERED_AT_A_TIME = 64


class HeldOutAnswers:
  """Prompts of held-out rows, and how a model answers them."""

  def __init__(
    self,
    config: ml_collections.ConfigDict,
    model_config: LlamaConfig,
    tokenizer: Tokenizer,
    rows: Sequence[Row],
    records: Sequence[Mapping[str, Any]],
  ):
    """Picks the prompts to answer.

    Args:
      config: Of the run: `data` and `evals` are read.
      model_config: Of the model.
      tokenizer: Of the run.
      rows: Held out.
      records: The raw record of each.
    """

    def num_tokens(prompt: tuple[Message, ...]) -> int:
      encoded = tokenize_prompt(
        prompt, template=config.data.template, tokenizer=tokenizer
      )
      return len(encoded)

    # A prompt beyond the training length would only measure that.
    asked = []
    for record, row in zip(records, rows, strict=True):
      if len(asked) == config.evals.num_prompts:
        break
      pair = sources.prompt_and_reference(row)
      if pair is not None and num_tokens(pair[0]) <= config.data.max_length:
        asked.append((record, *pair))
    self._asked = asked
    self._respond = responses.make_responder(
      model_config,
      tokenizer=tokenizer,
      template=config.data.template,
      max_new_tokens=config.evals.max_new_tokens,
      batch_size=max(1, min(_ANSWERED_AT_A_TIME, len(asked))),
    )
    self._num_samples = config.evals.num_samples

  def evaluate(
    self, params: Any, step: int
  ) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Verified accuracy, where answers can be verified, and samples."""
    if not self._asked:
      return {}, []
    records, prompts, references = zip(*self._asked, strict=True)
    answers = self._respond(params, prompts)
    verdicts = verified_accuracy.verify_responses(records, answers)
    shares = verified_accuracy.verified_accuracy(records, verdicts)
    samples = [
      {
        "step": step,
        "index": i,
        "prompt": prompts[i][-1].content,
        "response": answers[i],
        "reference": references[i],
        "kind": None if verdicts[i] is None else records[i]["task"]["kind"],
        "verified": verdicts[i],
      }
      for i in range(min(self._num_samples, len(answers)))
    ]
    return {f"eval/{name}": v for name, v in shares.items()}, samples
