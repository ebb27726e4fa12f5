# SPDX-License-Identifier: Apache-2.0
"""The API over real connections: answers, streams, refusals, keys, hang-ups."""

import concurrent.futures
import contextlib
import dataclasses
import json
import time

import jax
import numpy as np
import pytest
import tiny_server

from ramjax.data.rows import Message
from ramjax.data.tokenize_rows import tokenize_prompt
from ramjax.evals.engine import ChatRequest
from ramjax.evals.http_engine import HttpEngine
from ramjax.evals.local_engine import LocalEngine
from ramjax.models import heads, llama, sampler
from ramjax.models.sampling_options import SamplingOptions
from ramjax.tools import serve_app

_CHAT, _TEXT = "/v1/chat/completions", "/v1/completions"
_WORDS = "what a client said"
_TURN = [{"role": "user", "content": "Say a word."}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
  folder = tmp_path_factory.mktemp("served") / "tiny"
  return tiny_server.write_model(folder)


@pytest.fixture(scope="module")
def server(model):
  with tiny_server.running(model) as running:
    yield running


def _sampled(model, prompt, seed, **options):
  """What the sampler itself says."""
  options = SamplingOptions(stop_tokens=model.turn_ends, **options)
  request = sampler.Request(np.asarray(prompt, np.int32), options, seed)
  with jax.set_mesh(model.mesh):
    (sample,) = sampler.sample(
      model.params,
      model.config,
      [request],
      vocab_size=model.tokenizer.vocab_size,
    )
  return sample


def _log_softmax(model, ids):
  """[T, V] of the whole model, without anything of the server's."""

  @jax.jit
  def whole(params, tokens):
    positions = np.arange(len(ids), dtype=np.int32)[None]
    hidden = llama.apply(params, model.config, tokens, positions=positions)
    logits = heads.lm_logits(params, model.config, hidden)[0]
    return jax.nn.log_softmax(logits)[:, : model.tokenizer.vocab_size]

  return np.asarray(whole(model.params, np.asarray(ids, np.int32)[None]))


def _error(server, path, body, **kwargs):
  status, _, data = server.send(path, body, **kwargs)
  error = json.loads(data)["error"]
  assert set(error) == {"message", "type", "param", "code"}
  return status, error


def test_a_chat_is_what_the_sampler_says_with_its_logprobs(server, model):
  answer = server.chat(max_tokens=12, seed=7, logprobs=True)
  prompt = tokenize_prompt(
    [Message("user", "Say a word.")],
    template="plain",
    tokenizer=model.tokenizer,
  )
  expected = _sampled(model, prompt, 7, max_tokens=12)
  (choice,) = answer["choices"]
  tokens = [t for t in expected.tokens if t not in model.turn_ends]
  assert choice["message"]["content"] == model.tokenizer.decode(tokens).strip()
  entries = choice["logprobs"]["content"]
  np.testing.assert_allclose(
    [entry["logprob"] for entry in entries], expected.logps, atol=1e-4
  )
  for entry, token in zip(entries, expected.tokens, strict=True):
    shown = model.tokenizer.decode([token], keep_special=True)
    assert entry["token"] == shown
    assert entry["top_logprobs"] == []
    if "\ufffd" in shown:
      assert entry["bytes"] is None
    else:
      assert bytes(entry["bytes"]).decode() == shown
  assert choice["finish_reason"] == ("stop" if expected.finished else "length")
  assert answer["usage"] == {
    "prompt_tokens": len(prompt),
    "completion_tokens": len(expected.tokens),
    "total_tokens": len(prompt) + len(expected.tokens),
  }
  assert answer["object"] == "chat.completion" and answer["model"] == "tiny"


def test_our_own_client_hears_what_the_local_engine_says(server, model):
  requests = [
    ChatRequest(
      (Message("user", f"word {i}"),),
      SamplingOptions(max_tokens=9, temperature=0.8, top_p=0.9),
      seed=i,
    )
    for i in range(3)
  ]
  with jax.set_mesh(model.mesh):
    local = LocalEngine(
      model.params, model.config, tokenizer=model.tokenizer, template="plain"
    ).complete(requests)
  engine = HttpEngine(f"http://127.0.0.1:{server.port}/v1", "tiny")
  for heard, said in zip(engine.complete(requests), local, strict=True):
    assert heard.text == said.text
    assert heard.finished == said.finished
    assert heard.num_tokens == said.num_tokens
    np.testing.assert_allclose(heard.logps, said.logps, atol=1e-4)


@pytest.mark.parametrize("path", [_CHAT, _TEXT])
def test_pieces_of_a_stream_join_to_the_whole(server, path):
  body = dict(max_tokens=40, seed=3, n=2, logprobs=1, **tiny_server.NO_EOS)
  if path == _CHAT:
    body |= dict(messages=_TURN, logprobs=True)
  else:
    body |= dict(prompt="word 3 and", logprobs=0)
  whole = server.ask(path, **body)
  chunks = server.stream(path, **body, stream_options={"include_usage": True})
  assert len(chunks) > 10
  assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
  for choice in whole["choices"]:
    parts = [
      part
      for chunk in chunks
      for part in chunk["choices"]
      if part["index"] == choice["index"]
    ]
    if path == _CHAT:
      joined = "".join(p["delta"].get("content", "") for p in parts)
      assert parts[0]["delta"]["role"] == "assistant"
      assert joined == choice["message"]["content"]
    else:
      assert "".join(p["text"] for p in parts) == choice["text"]
    reasons = [p["finish_reason"] for p in parts]
    assert reasons == [None] * (len(parts) - 1) + [choice["finish_reason"]]
    assert parts[-1]["logprobs"] == choice["logprobs"]


def test_answers_written_together_are_those_written_alone(server):
  def ask(i):
    return server.chat(
      f"word {i}", max_tokens=5 + 6 * i, seed=i, temperature=0.5 + i / 4
    )["choices"]

  alone = [ask(i) for i in range(6)]
  with concurrent.futures.ThreadPoolExecutor(6) as pool:
    together = list(pool.map(ask, range(6)))
  assert together == alone
  assert len({json.dumps(choices) for choices in alone}) > 3


def test_options_that_need_another_program_wait_for_it(server):
  plain = server.chat(max_tokens=6, seed=1)["choices"]
  likeliest = server.chat(max_tokens=6, temperature=0)["choices"]
  with concurrent.futures.ThreadPoolExecutor(3) as pool:
    filtered = pool.submit(server.chat, max_tokens=6, seed=1, top_k=1)
    penalised = pool.submit(
      server.chat, max_tokens=6, seed=1, repetition_penalty=1.3, min_p=0.01
    )
    again = pool.submit(server.chat, max_tokens=6, seed=1)
    assert filtered.result()["choices"] == likeliest
    assert penalised.result()["choices"]
    assert again.result()["choices"] == plain


def test_a_seed_repeats_an_answer_and_its_n_answers_differ(server):
  body = dict(max_tokens=8, n=3, **tiny_server.NO_EOS)
  first, second, other = (
    server.chat(seed=seed, **body)["choices"] for seed in (5, 5, 6)
  )
  assert first == second and first != other
  texts = [choice["message"]["content"] for choice in first]
  assert len(set(texts)) == 3
  alone = server.chat(seed=5, max_tokens=8, **tiny_server.NO_EOS)["choices"]
  assert alone == first[:1]
  assert not {c["message"]["content"] for c in other} & set(texts)


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(server):
  body = dict(prompt="word", max_tokens=40, seed=2, **tiny_server.NO_EOS)
  text = server.ask(_TEXT, **body)["choices"][0]["text"]
  at = next(i for i in range(10, len(text)) if text[i : i + 2].isascii())
  stop = text[at : at + 2]
  (choice,) = server.ask(_TEXT, stop=stop, **body)["choices"]
  assert choice["text"] == text[: text.index(stop)]
  assert choice["finish_reason"] == "stop"
  chunks = server.stream(_TEXT, stop=[stop, "never"], **body)
  joined = "".join(chunk["choices"][0]["text"] for chunk in chunks)
  assert joined == choice["text"]


def test_prompts_may_be_texts_or_ids_several_at_a_time(server, model):
  ids = [model.tokenizer.bos_id, *model.tokenizer.encode("word", at_start=True)]
  body = dict(max_tokens=6, seed=4)
  text = server.complete("word", **body)["choices"]
  assert server.complete(ids, **body)["choices"] == text
  both = server.complete(["word", "then"], n=2, **body)
  assert [c["index"] for c in both["choices"]] == [0, 1, 2, 3]
  assert both["choices"][0]["text"] == text[0]["text"]
  nested = server.complete([ids, ids], **body)["choices"]
  assert nested[0]["text"] == nested[1]["text"] == text[0]["text"]


def test_an_echo_with_logprobs_scores_the_prompt(server, model):
  text = "word 3 and 21, then"
  answer = server.complete(text, max_tokens=0, echo=True, logprobs=1)
  (choice,) = answer["choices"]
  assert choice["text"] == text
  assert answer["usage"]["completion_tokens"] == 0
  ids = [model.tokenizer.bos_id, *model.tokenizer.encode(text, at_start=True)]
  shown = choice["logprobs"]
  assert shown["token_logprobs"][0] is shown["top_logprobs"][0] is None
  assert len(shown["tokens"]) == len(shown["text_offset"]) == len(ids)
  logps = _log_softmax(model, ids)
  for i in range(1, len(ids)):
    assert shown["token_logprobs"][i] == pytest.approx(
      float(logps[i - 1, ids[i]]), abs=1e-4
    )
    assert max(shown["top_logprobs"][i].values()) == pytest.approx(
      float(logps[i - 1].max()), abs=1e-4
    )


def test_an_echo_stands_before_what_is_generated(server):
  body = dict(max_tokens=1, seed=1, logprobs=1)
  alone = server.complete("word 3", **body)["choices"][0]
  echoed = server.complete("word 3", echo=True, **body)["choices"][0]
  assert echoed["text"] == "word 3" + alone["text"]
  assert echoed["logprobs"]["tokens"][-1:] == alone["logprobs"]["tokens"]
  np.testing.assert_allclose(
    echoed["logprobs"]["token_logprobs"][-1:],
    alone["logprobs"]["token_logprobs"],
    atol=1e-4,
  )


def test_alternatives_are_the_likeliest_tokens_in_order(server):
  answer = server.chat(
    max_tokens=4, temperature=0, logprobs=True, top_logprobs=3
  )
  for entry in answer["choices"][0]["logprobs"]["content"]:
    top = entry["top_logprobs"]
    assert len(top) == 3
    assert top[0]["token"] == entry["token"]
    assert top[0]["logprob"] == pytest.approx(entry["logprob"], abs=1e-4)
    logps = [one["logprob"] for one in top]
    assert logps == sorted(logps, reverse=True)


def _hang_up(server, body):
  """Begins a request and leaves; a stream after its first chunk."""
  connection = server.connect()
  connection.request(
    "POST", _CHAT, json.dumps(body), {"Content-Type": "application/json"}
  )
  if body["stream"]:
    response = connection.getresponse()
    while b"content" not in response.readline():
      pass
    response.close()
  else:
    while not server.worker.num_jobs:
      time.sleep(0.01)
  connection.close()


@pytest.mark.parametrize("stream", [True, False])
def test_whoever_hangs_up_leaves_the_slot(server, stream):
  # Each would take minutes, and together they have all slots.
  body = dict(messages=_TURN, max_tokens=8000, n=4, stream=stream)
  _hang_up(server, body | tiny_server.NO_EOS)
  assert server.chat(max_tokens=3)["choices"]
  assert server.worker.num_jobs == 0


def test_more_than_may_wait_is_refused_until_it_is_done(server):
  body = dict(messages=_TURN, max_tokens=8000, n=8, **tiny_server.NO_EOS)
  with contextlib.closing(server.connect()) as connection:
    connection.request(
      "POST", _CHAT, json.dumps(body), {"Content-Type": "application/json"}
    )
    while server.worker.num_jobs < 8:
      time.sleep(0.01)
    status, error = _error(server, _CHAT, dict(messages=_TURN, n=5))
    assert (status, error["code"]) == (429, "queue_full")
    assert error["type"] == "rate_limit_error"
  while server.worker.num_jobs:
    time.sleep(0.01)
  assert server.chat(max_tokens=2, n=5)["choices"]
  # 4 slots and 8 that wait: 13 would never be taken.
  assert _error(server, _CHAT, dict(messages=_TURN, n=13))[0] == 400


@pytest.mark.parametrize(
  "path,change,param",
  [
    (_CHAT, {"tools": [{"type": "function"}]}, "tools"),
    (_CHAT, {"temperature": -1}, "temperature"),
    (_TEXT, {"prompt": []}, "prompt"),
  ],
)
def test_what_cannot_be_done_as_asked_is_refused(server, path, change, param):
  body = {"messages": _TURN} if path == _CHAT else {"prompt": "word"}
  status, error = _error(server, path, body | change)
  assert (status, error["param"]) == (400, param)
  assert error["type"] == "invalid_request_error"
  assert server.worker.num_jobs == 0


def test_what_changes_nothing_is_taken(server):
  server.chat(
    max_completion_tokens=2,
    user="me",
    metadata={"a": "b"},
    tools=[],
    tool_choice="none",
    response_format={"type": "text"},
    frequency_penalty=0.0,
    presence_penalty=None,
    model="tiny",
    stop=None,
  )
  parts = [
    {"type": "text", "text": "Say a "},
    {"type": "text", "text": "word."},
  ]
  turns = [{"role": "developer", "content": "Be brief."}]
  asked = [
    server.ask(
      _CHAT,
      messages=[*turns, {"role": "user", "content": content}],
      seed=1,
      max_tokens=5,
    )["choices"]
    for content in (parts, "Say a word.")
  ]
  assert asked[0] == asked[1]


def test_statuses_of_what_is_not_a_request(server):
  kind = {"Content-Type": "text/plain"}
  assert _error(server, _CHAT, b"{}", headers=kind)[0] == 400
  for body in (b"", b"[]", b'{"n": NaN}', b"\xff", b'{"n": 1, "n": 2}'):
    assert _error(server, _CHAT, body)[1]["code"] == "invalid_json"
  assert _error(server, "/v1/nothing", None)[0] == 404
  assert _error(server, _CHAT, None)[0] == 405
  status, error = _error(server, _CHAT, {"messages": _TURN, "model": "gpt-4"})
  assert (status, error["code"]) == (404, "model_not_found")
  assert _error(server, "/v1/models/gpt-4", None)[0] == 404


def test_a_body_that_is_too_large_is_refused(server, monkeypatch):
  monkeypatch.setattr(serve_app, "MAX_BODY_BYTES", 100)
  large = {"messages": [{"role": "user", "content": "x" * 200}]}
  assert _error(server, _CHAT, large)[0] == 413

  def parts():
    yield b'{"messages": "'
    yield b"x" * 300

  with contextlib.closing(server.connect()) as connection:
    connection.request(
      "POST",
      _CHAT,
      parts(),
      {"Content-Type": "application/json"},
      encode_chunked=True,
    )
    assert connection.getresponse().status == 413


def test_the_model_is_listed(server):
  models = server.send("/v1/models")[2]
  (card,) = json.loads(models)["data"]
  assert card["id"] == "tiny" and card["max_model_len"] == 8192
  assert json.loads(server.send("/v1/models/tiny")[2]) == card
  assert json.loads(server.send("/health")[2]) == {"status": "ok"}


def test_a_failing_model_is_an_error_without_the_text_and_passes(
  server, monkeypatch, caplog
):
  def fail(self, most_tokens=None):
    raise RuntimeError(_WORDS)

  monkeypatch.setattr(sampler.ContinuousBatch, "advance", fail)
  status, error = _error(server, _CHAT, {"messages": _TURN})
  assert status == 500 and error["type"] == "server_error"
  chunk, *_ = (
    line
    for line in server.send(_CHAT, {"messages": _TURN, "stream": True})[2]
    .decode()
    .split("\n\n")
    if "error" in line
  )
  assert "server_error" in chunk
  monkeypatch.undo()
  assert _WORDS not in f"{error}{chunk}{caplog.text}"
  assert "RuntimeError" in caplog.text
  assert server.chat(max_tokens=2)["choices"]


def test_a_key_is_asked_for_and_a_foreign_host_refused(model):
  with tiny_server.running(
    model, num_slots=1, max_length=64, api_key="s3cret", hosts=("127.0.0.1",)
  ) as server:
    assert server.send("/health")[0] == 200
    for given in ("", "Bearer", "Bearer s3cre", "Basic s3cret", "Bearer é"):
      headers = {"Authorization": given.encode("latin-1")}
      status, error = _error(server, "/v1/models", None, headers=headers)
      assert (status, error["code"]) == (401, "invalid_api_key")
      assert "s3cret" not in error["message"]
    headers = {"Authorization": "Bearer s3cret"}
    assert server.send("/v1/models", headers=headers)[0] == 200
    rebound = headers | {"Host": "evil.example:8000"}
    assert _error(server, "/v1/models", None, headers=rebound)[0] == 400


def test_a_model_without_a_template_completes_and_does_not_chat(model):
  bare = dataclasses.replace(model, template=None)
  with tiny_server.running(bare, num_slots=1, max_length=64) as server:
    status, error = _error(server, _CHAT, {"messages": _TURN})
    assert (status, error["code"]) == (400, "no_chat_template")
    long = {"prompt": "word " * 100}
    assert _error(server, _TEXT, long)[1]["code"] == "context_length_exceeded"


def test_a_closed_worker_answers_503(model):
  with tiny_server.running(model, num_slots=1, max_length=64) as server:
    server.worker.close()
    assert _error(server, "/health", None)[0] == 503
    assert _error(server, _CHAT, {"messages": _TURN})[0] == 503
