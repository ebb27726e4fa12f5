# SPDX-License-Identifier: Apache-2.0
"""Prompts that tell the model beforehand how its answer will be judged."""

import dataclasses

from ramjax.data.rows import Text

# Fixed: a model is to be asked in the words that it was trained with.
_HEADING = "\n\n### Judgement of the answer:\n"


def judged_prompt(prompt: Text, judgement: str) -> Text:
  r"""Appends the judgement of an answer to the prompt of that answer.

  So that the model is trained on what an answer looks like that deserves the
  judgement, and likelihoods with and without it can be compared (CUT, Xu et
  al., arXiv 2312.14591). The wording is this project's own: two newlines, the
  heading "### Judgement of the answer:" on a line, and the judgement. A raw
  prompt gets two newlines more, which set it apart from the answer.

  Args:
    prompt: Of a row: raw text, or messages that end in a user turn.
    judgement: Of the same row. Empty, it leaves the prompt as it is.

  Returns:
    A prompt of the same kind. In messages, the last one's content is extended.

  Example:
    >>> judged_prompt("Add 2 and 2.", "The sum is wrong.")
    'Add 2 and 2.\n\n### Judgement of the answer:\nThe sum is wrong.\n\n'
  """
  if not judgement:
    return prompt
  if isinstance(prompt, str):
    return f"{prompt}{_HEADING}{judgement}\n\n"
  *before, last = prompt
  content = last.content + _HEADING + judgement
  return (*before, dataclasses.replace(last, content=content))
