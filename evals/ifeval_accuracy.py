# SPDX-License-Identifier: Apache-2.0
"""The four accuracies of IFEval (arXiv 2311.07911, section 3), and by family."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from ramjax.evals import ifeval_instructions, ifeval_verdicts


def ifeval_accuracy(
  records: Sequence[Mapping[str, Any]], responses: Sequence[str]
) -> dict[str, float]:
  """Shares of prompts and of instructions that are followed.

  Args:
    records: IFEval records: `instruction_id_list` and `kwargs`.
    responses: One for each.

  Returns:
    For the modes "strict" and "loose": `ifeval_prompt_<mode>`, the share of
    prompts whose instructions are all followed; `ifeval_instruction_<mode>`,
    the share of all instructions; `ifeval_instruction_<mode>/<family>`, that of
    one family, such as "keywords". Empty if there are no records.

  Raises:
    ValueError: A field of a record is missing or wrong.
  """
  accuracies: dict[str, list[bool]] = collections.defaultdict(list)
  for record, response in zip(records, responses, strict=True):
    names = [name for name, _ in ifeval_instructions.check_record(record)]
    for mode in ifeval_verdicts.MODES:
      followed = ifeval_verdicts.verdicts(record, response, mode=mode)
      accuracies[f"ifeval_prompt_{mode}"].append(all(followed))
      key = f"ifeval_instruction_{mode}"
      accuracies[key] += followed
      for name, is_followed in zip(names, followed, strict=True):
        accuracies[f"{key}/{name.partition(':')[0]}"].append(is_followed)
  return {
    key: sum(verdicts) / len(verdicts) for key, verdicts in accuracies.items()
  }
