# SPDX-License-Identifier: Apache-2.0
"""Answers on disk: asked once, exact, whole after a kill, shared by processes."""

import dataclasses
import json
import multiprocessing
import re

import numpy as np
import pytest
from tiny_endpoint import TinyEndpoint, answer, reply

from ramjax.data.rows import Message
from ramjax.evals import answer_cache
from ramjax.evals.answer_cache import CachedEngine, TellsEach
from ramjax.evals.engine import ChatRequest, Completion
from ramjax.evals.http_engine import EndpointError, HttpEngine
from ramjax.models.sampling_options import SamplingOptions

_IDENTITY = {"endpoint": "here", "model": "m"}


class Echo:
  """Answers with the text of the last message; remembers what it was asked."""

  def __init__(self, **fields):
    self.asked = []
    self._fields = fields

  def complete(self, requests, *, progress=None):
    self.asked += requests
    return [
      Completion(r.messages[-1].content, True, 4, **self._fields)
      for r in requests
    ]


def _request(text="hi", **changes):
  messages = (Message("user", text),)
  return dataclasses.replace(
    ChatRequest(messages, SamplingOptions()), **changes
  )


def _file(folder):
  return folder / answer_cache.FILE_NAME


def test_what_was_asked_once_is_not_asked_again(tmp_path):
  engine = Echo()
  cached = CachedEngine(engine, tmp_path / "new" / "cache", _IDENTITY)
  first = cached.complete([_request("a"), _request("b")])
  told = []
  again = cached.complete(
    [_request("b"), _request("c"), _request("a")], progress=told.append
  )
  assert [c.text for c in first] == ["a", "b"]
  assert [c.text for c in again] == ["b", "c", "a"]
  assert told == [4, 4, 4]
  assert [r.messages[0].content for r in engine.asked] == ["a", "b", "c"]
  assert (cached.hits, cached.misses) == (2, 3)


def test_another_object_finds_the_answers(tmp_path):
  CachedEngine(Echo(), tmp_path, _IDENTITY).complete([_request()])
  engine = Echo()
  cached = CachedEngine(engine, tmp_path, dict(reversed(_IDENTITY.items())))
  assert cached.complete([_request()])[0].text == "hi"
  assert (engine.asked, cached.hits, cached.misses) == ([], 1, 0)


def test_equal_requests_of_one_call_are_asked_once(tmp_path):
  engine, told = Echo(), []
  cached = CachedEngine(engine, tmp_path, _IDENTITY)
  got = cached.complete([_request()] * 3, progress=told.append)
  assert [c.text for c in got] == ["hi"] * 3
  assert (len(engine.asked), cached.hits, cached.misses) == (1, 2, 1)
  assert told == [4, 4, 4]


_OTHERS = [
  {"messages": (Message("system", "hi"), Message("user", "hi"))},
  {"messages": (Message("user", "hi "),)},
  {"stop": ("x",)},
  {"seed": 1},
  *(
    {"options": SamplingOptions(**{name: value})}
    for name, value in {
      "logit_bias": {1: 0.5},
      "repetition_penalty": 1.5,
      "temperature": 0.5,
      "top_k": 3,
      "top_p": 0.5,
      "min_p": 0.5,
      "max_tokens": 3,
      "stop_tokens": (3,),
    }.items()
  ),
]


def test_every_option_is_tried():
  tried = {
    field.name
    for other in _OTHERS
    if "options" in other
    for field in dataclasses.fields(SamplingOptions)
    if getattr(other["options"], field.name)
    != getattr(SamplingOptions(), field.name)
  }
  assert tried == {f.name for f in dataclasses.fields(SamplingOptions)}


@pytest.mark.parametrize("changes", _OTHERS, ids=repr)
def test_another_request_has_another_key(changes):
  key = answer_cache.request_key
  assert key("i", _request()) != key("i", _request(**changes))
  assert re.fullmatch("[0-9a-f]{64}", key("i", _request()))


def test_another_model_has_another_key():
  key = answer_cache.request_key
  assert key("i", _request()) != key("j", _request())


def test_what_changes_no_answer_changes_no_key():
  key = answer_cache.request_key
  options = SamplingOptions(temperature=1, logit_bias={2: 1, 1: 2})
  same = SamplingOptions(temperature=1.0, logit_bias={1: 2.0, 2: 1.0})
  assert key("i", _request(options=options)) == key(
    "i",
    _request(options=same, messages=(Message("user", "hi", supervised=True),)),
  )


def test_numbers_come_back_to_the_bit(tmp_path):
  fields = {
    "tokens": np.array([0, 2**31 - 1, 7], np.int32),
    "logps": np.array([-1 / 3, -1e-45, -np.inf], np.float32),
    "drawn_logps": np.array([np.nan, -0.0, -3e38], np.float32),
  }
  request = _request("é😀 \x00\n")
  (first,) = CachedEngine(Echo(**fields), tmp_path, {}).complete([request])
  (again,) = CachedEngine(Echo(), tmp_path, {}).complete([request])
  assert again.text == first.text == request.messages[0].content
  for name, array in fields.items():
    got = getattr(again, name)
    assert got.dtype == array.dtype
    assert got.tobytes() == array.tobytes()


def test_the_length_of_the_prompt_comes_back_where_it_was_told(tmp_path):
  told, untold = _request("a"), _request("b")
  CachedEngine(Echo(num_prompt_tokens=7), tmp_path, {}).complete([told])
  CachedEngine(Echo(), tmp_path, {}).complete([untold])
  again = CachedEngine(Echo(), tmp_path, {}).complete([told, untold])
  assert [one.num_prompt_tokens for one in again] == [7, None]


def test_a_line_torn_by_a_kill_is_asked_again(tmp_path):
  CachedEngine(Echo(), tmp_path, {}).complete([_request("a"), _request("b")])
  data = _file(tmp_path).read_bytes()
  first = data.index(b"\n") + 1
  for size in (first + 1, len(data) - 1):
    _file(tmp_path).write_bytes(data[:size])
    engine = Echo()
    got = CachedEngine(engine, tmp_path, {}).complete(
      [_request("a"), _request("b")]
    )
    assert [c.text for c in got] == ["a", "b"]
    assert len(engine.asked) == 1
    assert _file(tmp_path).read_bytes() == data


def test_answers_of_another_object_are_seen_while_both_are_open(tmp_path):
  ours, theirs = (CachedEngine(Echo(), tmp_path, {}) for _ in range(2))
  ours.complete([_request("a")])
  theirs.complete([_request("a"), _request("b")])
  ours.complete([_request("b"), _request("c")])
  assert (ours.hits, ours.misses) == (1, 2)
  assert (theirs.hits, theirs.misses) == (1, 1)


def test_a_file_that_was_emptied_is_begun_anew(tmp_path):
  cached = CachedEngine(Echo(), tmp_path, {})
  cached.complete([_request("a"), _request("b")])
  _file(tmp_path).write_bytes(b"")
  assert cached.complete([_request("b")])[0].text == "b"
  assert (cached.hits, cached.misses) == (0, 3)
  assert _file(tmp_path).read_bytes().count(b"\n") == 1


@pytest.mark.parametrize(
  "line",
  [
    b"garbage\n",
    b"[]\n",
    b"\n",
    b"{}\n",
    b'{"key": 3}\n',
    b"\xff\n",
    b"{} {}\n",
  ],
)
def test_a_damaged_line_is_named(tmp_path, line):
  CachedEngine(Echo(), tmp_path, {}).complete([_request()])
  with _file(tmp_path).open("ab") as file:
    file.write(line)
  size = _file(tmp_path).stat().st_size
  with pytest.raises(
    ValueError, match=rf"answers.jsonl: the line that ends at byte {size} is"
  ):
    CachedEngine(Echo(), tmp_path, {}).complete([_request()])


@pytest.mark.parametrize(
  "changes",
  [
    {"text": 3},
    {"finished": 1},
    {"num_tokens": 1.5},
    {"num_tokens": True},
    {"num_prompt_tokens": "7"},
    {"num_prompt_tokens": False},
    {"logps": "!"},
    {"logps": "AAA="},
    {"logps": [1.0]},
  ],
)
def test_a_damaged_answer_is_named(tmp_path, changes):
  CachedEngine(Echo(), tmp_path, {}).complete([_request()])
  line = json.loads(_file(tmp_path).read_text()) | changes
  _file(tmp_path).write_text(json.dumps(line) + "\n")
  with pytest.raises(ValueError, match=f"key {line['key']} is damaged"):
    CachedEngine(Echo(), tmp_path, {}).complete([_request()])


def test_answers_are_kept_as_they_arrive_and_the_key_is_nowhere(
  tmp_path, monkeypatch
):
  secret = "sk-Secret0123456789"
  monkeypatch.setenv("RAMJAX_TEST_KEY", secret)

  def act(number, asked):
    if number == 2:
      return reply({"error": "no more credit"}, 402)
    return reply(answer(asked.body["messages"][0]["content"]))

  requests = [_request(text) for text in "abcd"]
  with TinyEndpoint(act) as server:
    engine = HttpEngine(
      server.url, "m", api_key_env="RAMJAX_TEST_KEY", concurrency=1
    )
    assert isinstance(engine, TellsEach)
    cached = CachedEngine(engine, tmp_path, {"endpoint": engine.url})
    with pytest.raises(EndpointError, match="no more credit"):
      cached.complete(requests)
    told = []
    got = cached.complete(requests, progress=told.append)
  assert [c.text for c in got] == list("abcd")
  assert [r.body["messages"][0]["content"] for r in server.asked] == list(
    "abccd"
  )
  assert told == [2] * 4
  np.testing.assert_array_equal(got[0].logps, np.float32([-0.5, -0.25]))
  assert secret not in _file(tmp_path).read_text()


def _fill(folder, name, count):
  cached = CachedEngine(Echo(), folder, {})
  for i in range(count):
    cached.complete([_request(f"{name} {i} " + 5000 * "x"), _request(f"{i}")])


def test_two_processes_do_not_break_each_others_lines(tmp_path):
  context = multiprocessing.get_context("spawn")
  processes = [
    context.Process(target=_fill, args=(tmp_path, name, 40)) for name in "ab"
  ]
  for process in processes:
    process.start()
  for process in processes:
    process.join()
  assert [process.exitcode for process in processes] == [0, 0]
  lines = _file(tmp_path).read_text().splitlines()
  keys = [json.loads(line)["key"] for line in lines]
  assert len(keys) == len(set(keys)) == 40 + 40 + 40


def test_an_identity_that_is_no_json_is_refused(tmp_path):
  with pytest.raises(TypeError, match="not JSON serializable"):
    CachedEngine(Echo(), tmp_path, {"model": object()})
