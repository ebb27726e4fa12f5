# SPDX-License-Identifier: Apache-2.0
"""Writes templates.json: what HF's `apply_chat_template` gives.

Run it where transformers and TRL are installed, after a change of the
conversations below:

    python tests/golden/make_template_goldens.py

The Llama 3 templates are those that TRL ships as copies of the official ones.
Llama 2's is written out here, after the prompt format that Meta published.
"""

import json
import pathlib
import sys

FIXTURE = pathlib.Path(__file__).with_name("templates.json")

_LLAMA2 = """\
{%- set ns = namespace(system='') -%}
{%- for m in messages -%}
{%- if m.role == 'system' -%}
{%- set ns.system = '<<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n' -%}
{%- elif m.role == 'user' -%}
{{- bos_token + '[INST] ' + (ns.system + m.content).strip() + ' [/INST]' -}}
{%- set ns.system = '' -%}
{%- else -%}
{{- ' ' + m.content.strip() + ' ' + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""

_LLAMA2_TOKENS = ("<s>", "</s>")
_LLAMA3_TOKENS = ("<|begin_of_text|>", "<|eot_id|>")

# Turns by the first letter of their role.
_CONVERSATIONS = {
  "question": [("u", "What is 2 + 2?")],
  "answered": [("u", "What is 2 + 2?"), ("a", "4.")],
  "system": [("s", "Be brief."), ("u", "Hi!"), ("a", "Hello.")],
  "empty system": [("s", ""), ("u", "Hi!")],
  "turns": [
    ("s", "You translate."),
    ("u", "Hallo"),
    ("a", "Hello"),
    ("u", "Tschüss"),
    ("a", "Bye"),
    ("u", "Danke"),
  ],
  "space": [
    ("s", "  two \n"),
    ("u", "\n\n lines\n here\t"),
    ("a", "  indented\n\n"),
    ("u", "\u00a0 nbsp \u2003"),
    ("a", " \n"),
  ],
  "specials": [
    ("u", "Say <|eot_id|> and </s> and [/INST] and <<SYS>>."),
    ("a", "<|eot_id|></s><s>"),
  ],
  "unicode": [("u", "é 漢字 😀 \u200d"), ("a", "مرحبا")],
  "empty": [("u", ""), ("a", "")],
}
_ROLES = {"s": "system", "u": "user", "a": "assistant"}


def _sources() -> dict[str, tuple[str, str, tuple[str, str]]]:
  """Source: (the template of ours that must equal it, its Jinja, BOS and EOS)."""
  import trl

  folder = pathlib.Path(trl.__path__[0]) / "chat_templates"
  return {
    "llama2": ("llama2", _LLAMA2, _LLAMA2_TOKENS),
    **{
      name: (ours, (folder / f"{name}.jinja").read_text(), _LLAMA3_TOKENS)
      for name, ours in (
        ("llama3", "llama3"),
        ("llama3_1", "llama3_1"),
        ("llama3_2", "llama3_1"),
      )
    },
  }


def goldens() -> list[dict]:
  """One record for each source and conversation."""
  import tokenizers
  import transformers

  records = []
  for source, (template, jinja, (bos, eos)) in _sources().items():
    tokenizer = transformers.PreTrainedTokenizerFast(
      tokenizer_object=tokenizers.Tokenizer(tokenizers.models.BPE()),
      bos_token=bos,
      eos_token=eos,
    )
    for name, turns in _CONVERSATIONS.items():
      messages = [
        {"role": _ROLES[letter], "content": content}
        for letter, content in turns
      ]
      ends_with_user = turns[-1][0] == "u"
      for add_generation_prompt in sorted({False, ends_with_user}):
        text = tokenizer.apply_chat_template(
          messages,
          chat_template=jinja,
          tokenize=False,
          add_generation_prompt=add_generation_prompt,
          # Llama 3.2's template reads the clock unless it is told the date.
          date_string="26 Jul 2024",
        )
        records.append(
          {
            "name": f"{source}, {name}"
            + (", prompt" if add_generation_prompt else ""),
            "template": template,
            "bos": bos,
            "eos": eos,
            "messages": messages,
            "add_generation_prompt": add_generation_prompt,
            "text": text,
          }
        )
  return records


if __name__ == "__main__":
  FIXTURE.write_text(json.dumps(goldens(), indent=1) + "\n")
  sys.stdout.write(f"wrote {FIXTURE}\n")
