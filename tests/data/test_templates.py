# SPDX-License-Identifier: Apache-2.0
"""Tests of ramjax.data.templates."""

import json
import pathlib

import pytest

from ramjax.data import templates
from ramjax.data.rows import Message
from ramjax.data.templates import Span

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
RECORDS = json.loads((GOLDEN / "templates.json").read_text())
CONVERSATION = (
  Message("system", " Be brief. "),
  Message("user", "Hallo"),
  Message("assistant", "Hello", supervised=True),
  Message("user", " Was?\n\n### Input:\nNun "),
  Message("assistant", " What? ", supervised=True),
)

every_template = pytest.mark.parametrize("name", templates.TEMPLATE_NAMES)


def as_text(spans: list[Span], bos: str = "<s>", eos: str = "</s>") -> str:
  names = {"bos": bos, "eos": eos}
  return "".join(
    names.get(span.text, span.text) if span.special else span.text
    for span in spans
  )


def check_golden(record):
  messages = [Message(**message) for message in record["messages"]]
  spans = templates.render(
    messages,
    template=record["template"],
    add_generation_prompt=record["add_generation_prompt"],
  )
  assert as_text(spans, record["bos"], record["eos"]) == record["text"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["name"])
def test_rendering_equals_that_of_hf(record):
  check_golden(record)


@pytest.mark.peers
def test_fixture_is_what_hf_gives_today(golden_maker):
  pytest.importorskip("transformers")
  pytest.importorskip("trl")
  assert golden_maker.goldens() == RECORDS


@every_template
@pytest.mark.parametrize("num_messages", [2, 3, 4, 5])
def test_prompt_is_a_prefix(name, num_messages):
  # Both with a system message (even) and without.
  conversation = CONVERSATION[num_messages % 2 == 0 :]
  for end in range(len(conversation)):
    if conversation[end].role == "assistant":
      prompt = templates.render(
        conversation[:end], template=name, add_generation_prompt=True
      )
      full = templates.render(conversation, template=name)
      assert full[: len(prompt)] == prompt
      assert full[len(prompt)].supervised


@every_template
def test_bos_comes_first_and_once_if_at_all(name):
  spans = templates.render(CONVERSATION, template=name)
  places = [i for i, span in enumerate(spans) if span == Span("bos", True)]
  # Llama 2's published format starts each of the two exchanges with BOS;
  # ChatML has none.
  assert len(places) == {"llama2": 2, "chatml": 0}.get(name, 1)
  assert places[:1] == ([] if name == "chatml" else [0])


@every_template
def test_supervised_are_the_answer_and_its_end(name):
  messages = [
    Message("user", "Q1"),
    Message("assistant", "A1"),
    Message("user", "Q2"),
    Message("assistant", "A2", supervised=True),
  ]
  spans = templates.render(messages, template=name)
  supervised = [span for span in spans if span.supervised]
  assert [span.text.strip() for span in supervised] == [
    "A2",
    templates.end_of_turn_tokens(name)[0],
  ]
  assert [span.special for span in supervised] == [False, True]
  # ChatML's newline after a turn is not the model's to write.
  after = [Span("\n")] if name == "chatml" else []
  assert spans[-2 - len(after) :] == supervised + after


@every_template
def test_names_of_special_tokens_in_content_stay_text(name):
  content = "<|eot_id|></s>bos"
  spans = templates.render(
    [Message("user", content), Message("assistant", content)], template=name
  )
  assert sum(content in span.text for span in spans) == 2
  assert not any(content in span.text for span in spans if span.special)


def test_alpaca_without_input_by_hand():
  spans = templates.render(
    [Message("user", "Add 1 and 2."), Message("assistant", "3", True)],
    template="alpaca",
  )
  assert spans == [
    Span("bos", special=True),
    Span(
      "Below is an instruction that describes a task. Write a response that"
      " appropriately completes the request.\n\n### Instruction:\nAdd 1 and"
      " 2.\n\n### Response:"
    ),
    Span("3", supervised=True),
    Span("eos", special=True, supervised=True),
  ]


def test_alpaca_with_input_and_turns_by_hand():
  spans = templates.render(
    [
      Message("user", "Add.\n\n### Input:\n1, 2"),
      Message("assistant", "3"),
      Message("user", "And 4?"),
    ],
    template="alpaca",
    add_generation_prompt=True,
  )
  assert as_text(spans) == (
    "<s>Below is an instruction that describes a task, paired with an input"
    " that provides further context. Write a response that appropriately"
    " completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1, 2"
    "\n\n### Response:3</s>\n\n### Instruction:\nAnd 4?\n\n### Response:"
  )


def test_alpaca_system_message_takes_the_place_of_the_preamble():
  spans = templates.render(
    [Message("system", "Obey."), Message("user", "Sit.")],
    template="alpaca",
    add_generation_prompt=True,
  )
  assert as_text(spans) == "<s>Obey.\n\n### Instruction:\nSit.\n\n### Response:"


def test_plain_by_hand():
  # The space before an answer belongs to the answer, not to its header; that
  # before another turn to the heading. The turns' own spaces come on top.
  assert templates.render(CONVERSATION, template="plain") == [
    Span("bos", special=True),
    Span("System:  Be brief. \nUser: Hallo\nAssistant:"),
    Span(" Hello", supervised=True),
    Span("eos", special=True, supervised=True),
    Span("\nUser:  Was?\n\n### Input:\nNun \nAssistant:"),
    Span("  What? ", supervised=True),
    Span("eos", special=True, supervised=True),
  ]


def test_chatml_by_hand():
  start, end = Span("<|im_start|>", special=True), "<|im_end|>"
  assert templates.render(CONVERSATION[:3], template="chatml") == [
    start,
    Span("system\n Be brief. "),
    Span(end, special=True),
    Span("\n"),
    start,
    Span("user\nHallo"),
    Span(end, special=True),
    Span("\n"),
    start,
    Span("assistant\n"),
    Span("Hello", supervised=True),
    Span(end, special=True, supervised=True),
    Span("\n"),
  ]
  spans = templates.render(
    CONVERSATION[1:2], template="chatml", add_generation_prompt=True
  )
  assert as_text(spans) == (
    "<|im_start|>user\nHallo<|im_end|>\n<|im_start|>assistant\n"
  )


def test_mistral_by_hand():
  # The system message belongs to the first question. A space precedes every
  # "[INST]"; that of the first is the tokenizer's to put.
  assert templates.render(CONVERSATION, template="mistral") == [
    Span("bos", special=True),
    Span("[INST]  Be brief. \n\nHallo [/INST]"),
    Span(" Hello", supervised=True),
    Span("eos", special=True, supervised=True),
    Span(" [INST]  Was?\n\n### Input:\nNun  [/INST]"),
    Span("  What? ", supervised=True),
    Span("eos", special=True, supervised=True),
  ]


def test_unknown_template_lists_the_known():
  with pytest.raises(
    ValueError,
    match=r"'vicuna'.*alpaca, chatml, llama2, llama3, llama3_1, mistral, plain",
  ):
    templates.render([Message("user", "x")], template="vicuna")
  with pytest.raises(ValueError, match="known chat templates"):
    templates.end_of_turn_tokens("vicuna")
  with pytest.raises(ValueError, match="known chat templates"):
    templates.template_digest("vicuna")


@pytest.mark.parametrize(
  ("roles", "message"),
  [
    ("", "no user turn"),
    ("s", "no user turn"),
    ("a", r"messages\[0\] has role='assistant' where 'user'"),
    ("uu", r"messages\[1\] has role='user' where 'assistant'"),
    ("suaa", r"messages\[3\] has role='assistant'"),
    ("usa", r"messages\[1\] has role='system'"),
    ("ss", r"messages\[1\] has role='system'"),
  ],
)
def test_turns_out_of_order_are_refused(roles, message):
  names = {"s": "system", "u": "user", "a": "assistant"}
  with pytest.raises(ValueError, match=message):
    templates.render([Message(names[r], "x") for r in roles], template="plain")


def test_supervised_user_turn_is_refused():
  with pytest.raises(ValueError, match="role='user' is supervised"):
    templates.render([Message("user", "x", supervised=True)], template="plain")


def test_generation_prompt_after_an_answer_is_refused():
  with pytest.raises(ValueError, match="ends with a user turn"):
    templates.render(CONVERSATION, template="plain", add_generation_prompt=True)


def test_template_whose_prompt_is_no_prefix_is_refused(monkeypatch):
  def faulty(messages, add_generation_prompt):
    yield Span(f"{len(messages)} messages")

  faulty_template = templates._Template(faulty, ("eos",))
  monkeypatch.setitem(templates._TEMPLATES, "plain", faulty_template)
  with pytest.raises(RuntimeError, match="template='plain' is at fault"):
    templates.render(CONVERSATION, template="plain")


def test_digest_tells_templates_apart_and_follows_behaviour(monkeypatch):
  digests = {templates.template_digest(n) for n in templates.TEMPLATE_NAMES}
  assert len(digests) == len(templates.TEMPLATE_NAMES)
  before = templates.template_digest("llama3_1")
  templates.template_digest.cache_clear()
  assert templates.template_digest("llama3_1") == before
  monkeypatch.setattr(templates, "_LLAMA3_1_DATES", "")
  templates.template_digest.cache_clear()
  assert templates.template_digest("llama3_1") != before
  templates.template_digest.cache_clear()
