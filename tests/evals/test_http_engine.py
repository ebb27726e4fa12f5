# SPDX-License-Identifier: Apache-2.0
"""The engine over HTTP, against a real server on this machine."""

import asyncio
import threading
import time

import pytest
import tiny_endpoint
import tiny_judge
from tiny_endpoint import Reply, TinyEndpoint, answer, reply

from ramjax.data.rows import Message
from ramjax.evals import http_engine
from ramjax.evals.engine import ChatRequest
from ramjax.evals.http_engine import EndpointError, HttpEngine
from ramjax.evals.http_retries import RetryPolicy
from ramjax.models.sampling_options import SamplingOptions

_KEY = "sk-Secret0123456789"
_VARIABLE = "RAMJAX_TEST_KEY"
_QUICK = RetryPolicy(most=2, first_wait_s=0.01, longest_asked_wait_s=0.2)


def _request(text="hi", seed=0):
  return ChatRequest((Message("user", text),), SamplingOptions(), seed=seed)


@pytest.fixture
def key(monkeypatch):
  monkeypatch.setenv(_VARIABLE, _KEY)
  return _KEY


def _engine(server, **options):
  return HttpEngine(server.url, "m", **{"retries": _QUICK, **options})


def _fails(server, match, **options):
  """The error of one request, without the key in it or below it."""
  with pytest.raises(EndpointError, match=match) as raised:
    _engine(server, **options).complete([_request()])
  error = raised.value
  shown = f"{error} {error!r} {error.__cause__!r}"
  assert _KEY not in shown
  assert str(error).startswith(f"{server.url}/v1/chat/completions: ")
  assert "\n" not in str(error) and len(str(error)) < 600
  return str(error)


def test_answers_are_in_the_order_of_the_requests_and_the_key_is_sent(key):
  def act(number, asked):
    text = asked.body["messages"][0]["content"]
    time.sleep(0.02 * (int(text) % 3))
    return reply(answer(text))

  told = []
  with TinyEndpoint(act) as server:
    engine = _engine(server, api_key_env=_VARIABLE, concurrency=3)
    got = engine.complete(
      [_request(str(i)) for i in range(9)], progress=told.append
    )
  assert [c.text for c in got] == [str(i) for i in range(9)]
  assert told == [2] * 9
  assert 2 <= server.most_at_once <= 3
  assert {a.path for a in server.asked} == {"/v1/chat/completions"}
  for asked in server.asked:
    assert asked.headers["Authorization"] == f"Bearer {key}"
    assert asked.headers["Accept-Encoding"] == "identity"


def test_no_requests_ask_nothing_and_no_key_sends_none():
  with TinyEndpoint(lambda n, asked: reply(answer())) as server:
    engine = _engine(server)
    assert engine.complete([]) == []
    assert server.asked == []
    engine.complete([_request()])
  assert "Authorization" not in server.asked[0].headers


def test_it_works_inside_a_running_event_loop():
  async def notebook(engine):
    return engine.complete([_request()])

  with TinyEndpoint(lambda n, asked: reply(answer())) as server:
    (got,) = asyncio.run(notebook(_engine(server)))
  assert got.text == "yes"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_a_failure_that_may_pass_is_repeated(status):
  def act(number, asked):
    if number < 2:
      return reply({"error": {"message": "busy"}}, status)
    return reply(answer())

  said = []
  with TinyEndpoint(act) as server:
    (got,) = _engine(server, say=said.append).complete([_request()])
  assert got.text == "yes" and len(server.asked) == 3
  assert len(said) == 2
  assert f"status {status}: busy; trying again in 0.0 s" in said[0]


def test_retry_after_is_honoured_within_bounds():
  def act(number, asked):
    if number < 2:
      return reply({}, 429, Retry_After=["0.1", "9999"][number])
    return reply(answer())

  start = time.monotonic()
  with TinyEndpoint(act) as server:
    _engine(server).complete([_request()])
  # 0.1 s, and the bound of 0.2 s in place of 9999.
  assert 0.3 <= time.monotonic() - start < 30


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_any_other_refusal_is_an_error_at_once(status, key):
  def act(number, asked):
    shown = asked.headers["Authorization"]
    message = f"no such\nmodel \x1b[31m for {shown} " + "x" * 9000
    return reply({"error": {"message": message, "code": 3}}, status)

  with TinyEndpoint(act) as server:
    message = _fails(
      server, f"status {status}: no such model", api_key_env=_VARIABLE
    )
    assert len(server.asked) == 1
  assert "Bearer [API key]" in message and "\x1b" not in message
  assert message.endswith("x ...")


@pytest.mark.parametrize(
  "body,shown",
  [
    (b'{"detail": "gone"}', "gone"),
    (b'{"message": "gone"}', "gone"),
    (b'{"error": "gone"}', "gone"),
    (b"<html>gone</html>", "<html>gone</html>"),
    (b'{"error": [3]}', '{"error": [3]}'),
    (b"\xff gone", "\ufffd gone"),
  ],
)
def test_the_servers_message_is_found_in_any_shape(body, shown):
  with TinyEndpoint(lambda n, asked: Reply(body, 404)) as server:
    assert _fails(server, "status 404").endswith(f"status 404: {shown}")


def test_a_failure_that_does_not_pass_is_an_error_in_the_end(key):
  def act(number, asked):
    return reply({"error": asked.headers["Authorization"]}, 503)

  with TinyEndpoint(act) as server:
    _fails(server, r"status 503.*\(3 attempts\)", api_key_env=_VARIABLE)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
  "body",
  [b"garbage", b"", b"{}", b'{"choices": [{"finish_reason": NaN}]}'],
)
def test_an_answer_that_is_none_is_asked_for_again(body):
  replies = [Reply(body), reply(answer())]
  with TinyEndpoint(lambda n, asked: replies[min(n, 1)]) as server:
    (got,) = _engine(server).complete([_request()])
  assert got.text == "yes" and len(server.asked) == 2
  with TinyEndpoint(lambda n, asked: Reply(body)) as server:
    _fails(server, "no usable answer")
    assert len(server.asked) == 3


def test_a_huge_answer_is_not_read_to_its_end(monkeypatch):
  monkeypatch.setattr(http_engine, "MAX_ANSWER_BYTES", 1000)
  body = tiny_endpoint.reply(answer("x" * 5_000_000)).body
  with TinyEndpoint(lambda n, asked: Reply(body)) as server:
    _fails(server, "the answer is longer than 1000 bytes")


def test_a_compressed_answer_is_not_unpacked():
  sent = reply(answer(), Content_Encoding="gzip")
  with TinyEndpoint(lambda n, asked: sent) as server:
    _fails(server, "content-encoding gzip, unasked")


def test_a_server_that_stalls_is_given_up(key):
  done = threading.Event()

  def act(number, asked):
    done.wait(30)
    return reply(answer())

  with TinyEndpoint(act) as server:
    try:
      _fails(
        server,
        r"no answer within 0.1 s \(3 attempts\)",
        timeout_s=0.1,
        api_key_env=_VARIABLE,
      )
    finally:
      done.set()


def test_a_server_that_is_not_there_is_named(key):
  with TinyEndpoint(lambda n, asked: reply({})) as server:
    pass
  _fails(
    server,
    r"ConnectError: .*\(3 attempts\)\. Is it the right address",
    api_key_env=_VARIABLE,
  )


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status, key):
  with TinyEndpoint(lambda n, asked: reply(answer())) as other:
    place = f"{other.url}/{_KEY}"

    def act(number, asked):
      return reply({}, status, Location=place)

    with TinyEndpoint(act) as server:
      message = _fails(
        server, "Redirects are not followed", api_key_env=_VARIABLE
      )
      assert len(server.asked) == 1
    assert f"redirects to {other.url}/[API key]." in message
    assert other.asked == []


def test_the_first_error_gives_up_the_others_and_keeps_what_arrived():
  def act(number, asked):
    if asked.body["seed"] == 2:
      return reply({"error": "bad seed"}, 400)
    return reply(answer(str(asked.body["seed"])))

  arrived = []
  with TinyEndpoint(act) as server:
    with pytest.raises(EndpointError, match="bad seed"):
      _engine(server, concurrency=1).complete_each(
        [_request(seed=i) for i in range(5)],
        lambda index, got: arrived.append((index, got.text)),
      )
    assert len(server.asked) == 3
  assert arrived == [(0, "0"), (1, "1")]


def test_what_the_receiver_raises_is_raised():
  def arrived(index, got):
    raise RuntimeError("disk full")

  with TinyEndpoint(lambda n, asked: reply(answer())) as server:
    with pytest.raises(RuntimeError, match="disk full"):
      _engine(server).complete_each([_request()], arrived)


@pytest.mark.parametrize(
  "given,url",
  [
    ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
    ("http://[::1]:1/", "http://[::1]:1/v1/chat/completions"),
    ("https://a.b/openai/v1/", "https://a.b/openai/v1/chat/completions"),
    ("https://a.b/v2/chat/completions", "https://a.b/v2/chat/completions"),
  ],
)
def test_an_address_is_completed(given, url):
  assert HttpEngine(given, "m").url == url


@pytest.mark.parametrize(
  "given,problem",
  [
    ("localhost:8000", "must begin with http"),
    ("ftp://a.b", "must begin with http"),
    ("", "must begin with http"),
    ("http://", "must begin with http"),
    ("https://a.b/v1?key=3", "must end behind its path"),
    ("https://a.b/v1#x", "must end behind its path"),
    ("https://a.b:99999999/v1", "a port beyond"),
    ("https://a.b:port/v1", "no address"),
  ],
)
def test_an_address_that_is_none_is_refused(given, problem):
  with pytest.raises(ValueError, match=problem):
    HttpEngine(given, "m")


def test_a_password_in_an_address_is_refused_and_not_repeated():
  with pytest.raises(ValueError, match="has a user or password") as raised:
    HttpEngine("https://me:hunter2@a.b/v1", "m")
  assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
  "host", ["a.b", "10.0.0.1", "localhost.a.b", "0.0.0.0"]
)
def test_a_key_is_not_sent_unencrypted_to_another_machine(key, host):
  with pytest.raises(ValueError, match="is not encrypted") as raised:
    HttpEngine(f"http://{host}/v1", "m", api_key_env=_VARIABLE)
  assert _KEY not in str(raised.value)
  HttpEngine(f"https://{host}/v1", "m", api_key_env=_VARIABLE)
  HttpEngine(f"http://{host}/v1", "m")


@pytest.mark.parametrize(
  "host", ["localhost", "127.0.0.1", "127.9.9.9", "[::1]"]
)
def test_a_key_may_be_sent_unencrypted_on_this_machine(key, host):
  engine = HttpEngine(f"http://{host}/v1", "m", api_key_env=_VARIABLE)
  assert host in engine.url


def test_a_proxy_of_the_environment_sees_nothing_of_this_machine(
  monkeypatch, key
):
  with TinyEndpoint(lambda n, asked: reply(answer())) as proxy:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with TinyEndpoint(lambda n, asked: reply(answer())) as server:
      _engine(server, api_key_env=_VARIABLE).complete([_request()])
      assert len(server.asked) == 1
    assert proxy.asked == []


@pytest.mark.parametrize(
  "value,problem",
  [
    ("", "is not set"),
    ("two words", "holds no API key"),
    (f"{_KEY}\r\nX: y", "holds no API key"),
    ("schlüssel", "holds no API key"),
  ],
)
def test_a_variable_without_a_key_is_refused(monkeypatch, value, problem):
  monkeypatch.setenv(_VARIABLE, value)
  with pytest.raises(ValueError, match=f"{_VARIABLE} {problem}") as raised:
    HttpEngine("https://a.b", "m", api_key_env=_VARIABLE)
  assert not value or value not in str(raised.value)


@pytest.mark.parametrize("given", [_KEY, "hf_abcDEF", "A" * 100])
def test_a_key_in_place_of_its_variables_name_is_not_repeated(given):
  with pytest.raises(ValueError, match="give the name, not the key") as raised:
    HttpEngine("https://a.b", "m", api_key_env=given)
  assert given not in str(raised.value)


@pytest.mark.parametrize(
  "wrong",
  [{"concurrency": 0}, {"timeout_s": 0.0}, {"timeout_s": float("nan")}],
)
def test_bounds_that_are_none_are_refused(wrong):
  with pytest.raises(ValueError, match="must be at least 1"):
    HttpEngine("https://a.b", "m", **wrong)
  with pytest.raises(ValueError, match="names no model"):
    HttpEngine("https://a.b", "")


def test_a_failure_may_be_told_while_the_others_go_on():
  def act(number, asked):
    text = asked.body["messages"][0]["content"]
    return reply(answer(text), 400 if text == "1" else 200)

  arrived, failed = {}, {}
  with TinyEndpoint(act) as server:
    _engine(server).complete_each(
      [_request(str(i)) for i in range(4)],
      arrived.__setitem__,
      failed.__setitem__,
    )
  assert {i: c.text for i, c in arrived.items()} == {0: "0", 2: "2", 3: "3"}
  assert list(failed) == [1] and "status 400" in str(failed[1])


def test_likeliest_tokens_come_in_order_and_each_may_fail():
  def act(number, asked):
    text = asked.body["messages"][0]["content"]
    if text == "1":
      return reply(answer())  # Without any.
    time.sleep(0.02 * (2 - int(text)))
    return reply(tiny_judge.top([(text, -0.5)]))

  told = []
  with TinyEndpoint(act) as server:
    got = _engine(server).top_tokens(
      [_request(str(i)) for i in range(3)],
      num=5,
      arrived=lambda i, outcome: told.append(i),
    )
    assert _engine(server).top_tokens([], num=5) == []
  assert [getattr(got[i], "top", None) for i in (0, 2)] == [
    (("0", -0.5),),
    (("2", -0.5),),
  ]
  assert isinstance(got[1], EndpointError)
  assert "top_logprobs is not a list" in str(got[1])
  assert "(3 attempts)" in str(got[1]) and sorted(told) == [0, 1, 2]
