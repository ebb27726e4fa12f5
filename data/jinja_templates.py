# SPDX-License-Identifier: Apache-2.0
"""The chat templates of `templates.py` as Jinja, for other programs to apply.

A model trained here is exported with one of these, so that a serving tool
renders a conversation as it was rendered in training. Nothing here runs them;
`templates.py` stays what training uses.
"""

from ramjax.data import templates

# Only what other implementations of Jinja have, too: no neighbouring strings
# that Jinja would join, no filter next to an operator without brackets.

# The order of turns that `templates.render` insists on, in every template.
_TURNS_IN_ORDER = r"""
{%- set system = (messages[0].role == 'system') if messages else false -%}
{%- set turns = messages[1:] if system else messages -%}
{%- for message in turns -%}
  {%- if message.role != ('assistant' if loop.index0 % 2 else 'user') -%}
    {{- raise_exception('After an optional system message, user and '
                        + 'assistant turns alternate, the user first.') -}}
  {%- endif -%}
{%- endfor -%}
{%- if not turns -%}
  {{- raise_exception('There is no user turn.') -}}
{%- endif -%}
{%- if add_generation_prompt and turns[-1].role != 'user' -%}
  {{- raise_exception('A prompt ends with a user turn.') -}}
{%- endif -%}
"""

_ALPACA = r"""
{{- bos_token -}}
{%- if system -%}
  {%- if messages[0].content -%}
    {{- messages[0].content + '\n\n' -}}
  {%- endif -%}
{%- elif '\n\n### Input:\n' in turns[0].content -%}
  {{- 'Below is an instruction that describes a task, paired with an input '
      + 'that provides further context. Write a response that appropriately '
      + 'completes the request.\n\n' -}}
{%- else -%}
  {{- 'Below is an instruction that describes a task. Write a response that '
      + 'appropriately completes the request.\n\n' -}}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'user' -%}
    {{- '' if loop.first else '\n\n' -}}
    {{- '### Instruction:\n' + message.content + '\n\n' -}}
  {%- else -%}
    {{- '### Response:' + message.content + eos_token -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '### Response:' -}}
{%- endif -%}
"""

_CHATML = r"""
{%- for message in messages -%}
  {{- '<|im_start|>' + message.role + '\n' -}}
  {{- message.content + '<|im_end|>\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
{%- endif -%}
"""

_LLAMA2 = r"""
{%- set before = '' -%}
{%- if system -%}
  {%- set before = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' -%}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'user' -%}
    {%- set text = (before if loop.first else '') + message.content -%}
    {{- bos_token + '[INST] ' + (text | trim) + ' [/INST]' -}}
  {%- else -%}
    {{- ' ' + (message.content | trim) + ' ' + eos_token -}}
  {%- endif -%}
{%- endfor -%}
"""

_LLAMA3_TURN = r"""
  {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' -}}
  {{- (message.content | trim) + '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%}
"""

_LLAMA3 = (
  r"""
{{- bos_token -}}
{%- for message in messages -%}
"""
  + _LLAMA3_TURN
)

_LLAMA3_1 = (
  r"""
{{- bos_token -}}
{{- '<|start_header_id|>system<|end_header_id|>\n\n' -}}
{{- 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' -}}
{{- (messages[0].content | trim) if system else '' -}}
{{- '<|eot_id|>' -}}
{%- for message in turns -%}
"""
  + _LLAMA3_TURN
)

_MISTRAL = r"""
{{- bos_token -}}
{%- for message in turns -%}
  {%- if message.role == 'user' -%}
    {{- '[INST] ' if loop.first else ' [INST] ' -}}
    {{- (messages[0].content + '\n\n') if system and loop.first else '' -}}
    {{- message.content + ' [/INST]' -}}
  {%- else -%}
    {{- ' ' + message.content + eos_token -}}
  {%- endif -%}
{%- endfor -%}
"""

_PLAIN = r"""
{{- bos_token -}}
{%- if system -%}
  {{- 'System: ' + messages[0].content + '\n' -}}
{%- endif -%}
{%- for message in turns -%}
  {%- if message.role == 'user' -%}
    {{- '' if loop.first else '\n' -}}
    {{- 'User: ' + message.content + '\n' -}}
  {%- else -%}
    {{- 'Assistant: ' + message.content + eos_token -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- 'Assistant:' -}}
{%- endif -%}
"""

JINJA: dict[str, str] = {
  name: (_TURNS_IN_ORDER + text).strip() + "\n"
  for name, text in {
    "alpaca": _ALPACA,
    "chatml": _CHATML,
    "llama2": _LLAMA2,
    "llama3": _LLAMA3,
    "llama3_1": _LLAMA3_1,
    "mistral": _MISTRAL,
    "plain": _PLAIN,
  }.items()
}


def jinja_template(name: str) -> str:
  """The Jinja text of a template of ours.

  It renders, with the tokenizer's own `bos_token` and `eos_token`, what
  `templates.render` gives, and raises where that refuses the order of turns.

  Args:
    name: One of `templates.TEMPLATE_NAMES`.

  Returns:
    A chat template for `tokenizer_config.json`.

  Raises:
    ValueError: Unknown template.
  """
  templates.end_of_turn_tokens(name)  # Refuses an unknown name.
  return JINJA[name]
