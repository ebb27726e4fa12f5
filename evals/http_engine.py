# SPDX-License-Identifier: Apache-2.0
"""The engine that is somebody's server: an OpenAI-compatible endpoint.

vLLM, SGLang, llama.cpp and hosted APIs speak this protocol, and so does
`ramjax serve`. What comes back is checked as a stranger's; the API key is in no
message of ours, whatever the server repeats of it.
"""

import asyncio
import concurrent.futures
import dataclasses
import datetime
import functools
import ipaddress
import itertools
import json
import os
import random
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx

from ramjax.evals import chat_completions, http_retries, top_tokens
from ramjax.evals.engine import ChatRequest, Completion
from ramjax.evals.http_retries import RetryPolicy
from ramjax.evals.top_tokens import NextTokens

# An answer of 100,000 tokens with their log-probabilities takes half of this.
MAX_ANSWER_BYTES = 32 << 20
# Of an answer that says what went wrong.
_MAX_ERROR_BYTES = 1 << 16
_MAX_MESSAGE_LEN = 300
_MAX_CONNECT_S = 30.0
# Besides every status from 500 up: timeout, conflict, too many requests.
_RETRIED_STATUSES = (408, 409, 429)
_PATH = "/chat/completions"


# What an answer is read as; it raises `chat_completions.AnswerError`.
_Parse = Callable[[bytes], Any]


class EndpointError(OSError):
  """A server that gives no answer: which one, why, and what to do."""


@dataclasses.dataclass(frozen=True)
class _Failure:
  """One attempt without an answer.

  Attributes:
    problem: What went wrong.
    again: Whether it may go better another time.
    asked_s: Seconds that the server asks to wait.
  """

  problem: str
  again: bool
  asked_s: float | None = None


class HttpEngine:
  """Answers with whatever model stands behind an endpoint.

  Attributes:
    url: What requests are sent to.
    model: The name by which the server knows the model.
  """

  def __init__(
    self,
    base_url: str,
    model: str,
    *,
    api_key_env: str = "",
    concurrency: int = 16,
    timeout_s: float = 600.0,
    retries: RetryPolicy | None = None,
    logprobs: bool = True,
    say: Callable[[str], None] | None = None,
  ):
    """Checks what it is given; nothing is sent before an answer is asked for.

    Args:
      base_url: As OpenAI's clients take it, such as http://localhost:8000/v1;
        a host alone is completed by /v1.
      model: The name by which the server knows the model.
      api_key_env: Name of the environment variable that holds the API key, in
        capital letters; "" sends none.
      concurrency: Requests that are under way at a time, at most.
      timeout_s: For one whole answer.
      retries: How often and when a request is repeated that fails for reasons
        that may pass.
      logprobs: Whether to ask for log-probabilities; some servers refuse to.
      say: Told, in a line, of each failure that is followed by another try.

    Raises:
      ValueError: An address that is none, a key that is missing, or one that
        would travel unencrypted.
    """
    if concurrency < 1 or not 0 < timeout_s < 1e9:
      raise ValueError(
        f"concurrency={concurrency} must be at least 1, and timeout_s="
        f"{timeout_s} above 0."
      )
    if not model:
      raise ValueError("model='' names no model: give the server's name of it.")
    url = _endpoint(base_url)
    self.url = str(url)
    self.model = model
    self._is_local = _is_loopback(url.host)
    self._key = _api_key(api_key_env)
    if self._key and url.scheme == "http" and not self._is_local:
      raise ValueError(
        f"{self.url} is not encrypted, so the API key of {api_key_env} is not"
        " sent there: use https://, a tunnel to this machine, or no key."
      )
    self._concurrency = concurrency
    self._timeout_s = timeout_s
    self._retries = retries or RetryPolicy()
    self._logprobs = logprobs
    self._say = say

  def complete(
    self,
    requests: Sequence[ChatRequest],
    *,
    progress: Callable[[int], None] | None = None,
  ) -> list[Completion]:
    """See `engine.Engine`.

    Raises:
      EndpointError: A request is refused, or fails once too often.
      ValueError: An option that the protocol cannot say.
    """
    completions: dict[int, Completion] = {}

    def arrived(index: int, completion: Completion) -> None:
      completions[index] = completion
      if progress is not None:
        progress(completion.num_tokens)

    self.complete_each(requests, arrived)
    return [completions[i] for i in range(len(requests))]

  def complete_each(
    self,
    requests: Sequence[ChatRequest],
    arrived: Callable[[int, Completion], None],
    failed: Callable[[int, EndpointError], None] | None = None,
  ) -> None:
    """Hands over each answer as it arrives, with the index of its request.

    Args:
      requests: Any number.
      arrived: Told of each answer.
      failed: Told of each request that has none, and the others go on.

    Raises:
      EndpointError: As `complete`, without `failed`; answers under way are then
        given up.
    """
    bodies = [
      chat_completions.request_body(
        request, model=self.model, logprobs=self._logprobs
      )
      for request in requests
    ]
    self._each(bodies, chat_completions.parse_answer, arrived, failed)

  def top_tokens(
    self,
    requests: Sequence[ChatRequest],
    *,
    num: int,
    arrived: top_tokens.Arrived | None = None,
  ) -> list[NextTokens | OSError]:
    """See `top_tokens.TopTokens`."""
    top_tokens.check_num(num)
    found: dict[int, NextTokens | OSError] = {}

    def keep(index: int, outcome: NextTokens | OSError) -> None:
      found[index] = outcome
      if arrived is not None:
        arrived(index, outcome)

    self._each(
      [
        chat_completions.top_tokens_body(request, model=self.model, num=num)
        for request in requests
      ],
      functools.partial(chat_completions.parse_top_tokens, num=num),
      keep,
      keep,
    )
    return [found[i] for i in range(len(requests))]

  def _each(
    self,
    bodies: Sequence[dict[str, Any]],
    parse: _Parse,
    arrived: Callable[[int, Any], None],
    failed: Callable[[int, EndpointError], None] | None,
  ) -> None:
    if bodies:
      encoded = [json.dumps(body).encode() for body in bodies]
      _run(self._ask_all(encoded, parse, arrived, failed))

  async def _ask_all(
    self,
    bodies: Sequence[bytes],
    parse: _Parse,
    arrived: Callable[[int, Any], None],
    failed: Callable[[int, EndpointError], None] | None,
  ) -> None:
    waiting = iter(enumerate(bodies))

    async def work(client: httpx.AsyncClient) -> None:
      for index, body in waiting:
        try:
          answer = await self._ask(client, body, parse)
        except EndpointError as error:
          if failed is None:
            raise
          failed(index, error)
        else:
          arrived(index, answer)

    num_workers = min(self._concurrency, len(bodies))
    try:
      async with self._client() as client, asyncio.TaskGroup() as group:
        for _ in range(num_workers):
          group.create_task(work(client))
    except BaseExceptionGroup as errors:
      # The others were cancelled for the first.
      raise errors.exceptions[0] from None

  def _client(self) -> httpx.AsyncClient:
    headers = {
      "Content-Type": "application/json",
      "Accept": "application/json",
      # A compressed answer could be small on the wire and huge in memory.
      "Accept-Encoding": "identity",
      "User-Agent": "ramjax",
    }
    if self._key:
      headers["Authorization"] = f"Bearer {self._key}"
    return httpx.AsyncClient(
      headers=headers,
      follow_redirects=False,
      # `asyncio.timeout` is for the whole, where this one starts anew with
      # every byte.
      timeout=httpx.Timeout(None, connect=min(self._timeout_s, _MAX_CONNECT_S)),
      limits=httpx.Limits(max_connections=self._concurrency),
      # A proxy of the environment must not see what stays on this machine.
      trust_env=not self._is_local,
    )

  async def _ask(
    self, client: httpx.AsyncClient, body: bytes, parse: _Parse
  ) -> Any:
    for attempt in itertools.count():
      outcome = await self._try(client, body, parse)
      if not isinstance(outcome, _Failure):
        return outcome
      problem = self._printable(outcome.problem)
      if not outcome.again:
        raise EndpointError(f"{self.url}: {problem}")
      if attempt == self._retries.most:
        raise EndpointError(
          f"{self.url}: {problem} ({attempt + 1} attempts). Is it the right"
          " address, and does the server run?"
        )
      wait = http_retries.wait_s(
        self._retries,
        attempt,
        asked_s=outcome.asked_s,
        uniform=random.random(),
      )
      if self._say is not None:
        self._say(f"{self.url}: {problem}; trying again in {wait:.1f} s")
      await asyncio.sleep(wait)
    raise AssertionError("unreachable")

  async def _try(
    self, client: httpx.AsyncClient, body: bytes, parse: _Parse
  ) -> Any:
    """What was parsed, or a `_Failure`."""
    try:
      async with asyncio.timeout(self._timeout_s):
        async with client.stream("POST", self.url, content=body) as response:
          ok = response.status_code == 200
          most = MAX_ANSWER_BYTES if ok else _MAX_ERROR_BYTES
          data = await _read(response, most)
    except TimeoutError:
      return _Failure(f"no answer within {self._timeout_s:g} s", again=True)
    except httpx.HTTPError as error:
      problem = f"{type(error).__name__}: {error}"
      # Another try would meet the same certificate.
      return _Failure(problem, again="CERTIFICATE" not in problem)
    if not ok:
      return _refusal(response, data)
    if len(data) > MAX_ANSWER_BYTES:
      problem = f"the answer is longer than {MAX_ANSWER_BYTES} bytes"
      return _Failure(problem, again=True)
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
      problem = f"the answer has content-encoding {encoding}, unasked"
      return _Failure(problem, again=True)
    try:
      return parse(data)
    except chat_completions.AnswerError as error:
      return _Failure(f"no usable answer: {error}", again=True)

  def _printable(self, text: str) -> str:
    """A server's text for an error: without the key, on one line, not long."""
    if self._key:
      text = text.replace(self._key, "[API key]")
    text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    if len(text) <= _MAX_MESSAGE_LEN:
      return text
    return text[:_MAX_MESSAGE_LEN] + " ..."


def _refusal(response: httpx.Response, data: bytes) -> _Failure:
  """What a status other than 200 says."""
  status = response.status_code
  if 300 <= status < 400:
    place = response.headers.get("location", "nowhere")
    return _Failure(
      f"status {status} redirects to {place}. Redirects are not followed, for"
      " the API key and the prompts would go there: give that address if you"
      " trust it.",
      again=False,
    )
  asked = http_retries.asked_wait_s(
    response.headers.get("retry-after"), datetime.datetime.now(datetime.UTC)
  )
  return _Failure(
    f"status {status}: {_message(data)}",
    again=status in _RETRIED_STATUSES or not 400 <= status < 500,
    asked_s=asked,
  )


def _message(data: bytes) -> str:
  """What the server says about an error, in any of the usual shapes."""
  text = data[:_MAX_ERROR_BYTES].decode("utf-8", "replace")
  try:
    value = chat_completions.parse_json(data)
  except chat_completions.AnswerError:
    return text
  for name in ("error", "message", "detail"):
    while isinstance(value, dict) and name in value:
      value = value[name]
  return value if isinstance(value, str) else text


async def _read(response: httpx.Response, most: int) -> bytes:
  """The body as it came, up to little more than `most` bytes."""
  data = bytearray()
  async for part in response.aiter_raw():
    data += part
    if len(data) > most:
      break
  return bytes(data)


def _endpoint(base_url: str) -> httpx.URL:
  """The address of the chat completions below a base address."""
  try:
    url = httpx.URL(base_url)
  except httpx.InvalidURL as error:
    raise ValueError(f"the endpoint is no address: {error}") from error
  if url.userinfo:  # Not repeated: it may hold a password.
    raise ValueError(
      f"the endpoint at {url.host} has a user or password in its address:"
      " put a key into an environment variable and name that."
    )
  if url.scheme not in ("http", "https") or not url.host:
    raise ValueError(
      f"endpoint {base_url!r} must begin with http:// or https:// and a host,"
      " such as http://localhost:8000/v1."
    )
  if url.port is not None and not 0 < url.port < 2**16:
    raise ValueError(f"endpoint {base_url!r} has a port beyond 65535.")
  if url.query or url.fragment:
    raise ValueError(f"endpoint {base_url!r} must end behind its path.")
  path = url.path.rstrip("/").removesuffix(_PATH)
  return url.copy_with(path=(path or "/v1") + _PATH)


def _is_loopback(host: str) -> bool:
  if host == "localhost":
    return True
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return False  # A name.


def _api_key(variable: str) -> str:
  if not variable:
    return ""
  if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", variable):
    # Not repeated: it may be the key itself.
    raise ValueError(
      "the API key comes from an environment variable that is named here, in"
      " capital letters, such as OPENAI_API_KEY: give the name, not the key."
    )
  key = os.environ.get(variable, "")
  if not key:
    raise ValueError(
      f"the environment variable {variable} is not set, and the API key was"
      " to come from it: export it, or name another."
    )
  if not re.fullmatch(r"[!-~]{1,4096}", key):
    raise ValueError(
      f"the environment variable {variable} holds no API key: one has only"
      " printable ASCII characters, and no spaces."
    )
  return key


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
  """Runs a coroutine to its end, also from inside a notebook's event loop."""
  try:
    asyncio.get_running_loop()
  except RuntimeError:  # The usual case.
    asyncio.run(coroutine)
    return
  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    pool.submit(asyncio.run, coroutine).result()
