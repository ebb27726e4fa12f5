# SPDX-License-Identifier: Apache-2.0
"""The HTTP side of `ramjax serve`: paths, keys, limits, streams."""

import asyncio
import contextlib
import dataclasses
import hashlib
import hmac
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

from ramjax.models import strict_json
from ramjax.tools import serve_answers, serve_requests
from ramjax.tools.loaded_model import LoadedModel
from ramjax.tools.serve_answering import Answering
from ramjax.tools.serve_answers import Reply
from ramjax.tools.serve_errors import ApiError
from ramjax.tools.serve_worker import Worker

MAX_BODY_BYTES = 4 * 2**20

_log = logging.getLogger(__name__)

_Handler = Callable[[Any], Awaitable[Any]]


@dataclasses.dataclass(frozen=True)
class Service:
  """What the paths are about.

  Attributes:
    model: What answers.
    worker: Its thread.
    name: Under which it is served.
    api_key: What clients must send; None asks for none.
    hosts: Values of the Host header that are served; None is any. A page in a
      browser that has its own name point to this machine is refused so.
  """

  model: LoadedModel
  worker: Worker
  name: str
  api_key: str | None = None
  hosts: Collection[str] | None = None


def make_app(service: Service) -> Any:
  """The ASGI application; closes the service's worker when it shuts down."""
  from starlette import applications, exceptions, routing

  created = int(time.time())

  async def health(request: Any) -> Any:
    del request
    if not service.worker.alive:
      raise ApiError(503, "the model's thread has ended: restart the server.")
    return _json({"status": "ok"})

  async def models(request: Any) -> Any:
    del request
    return _json({"object": "list", "data": [_card(service, created)]})

  async def model(request: Any) -> Any:
    name = request.path_params["name"]
    if name != service.name:
      raise ApiError(
        404, f"the model {name[:80]!r} is not served.", code="model_not_found"
      )
    return _json(_card(service, created))

  async def chat(request: Any) -> Any:
    return await _answer(request, service, serve_requests.parse_chat)

  async def completion(request: Any) -> Any:
    return await _answer(request, service, serve_requests.parse_completion)

  @contextlib.asynccontextmanager
  async def lifespan(app: Any) -> AsyncIterator[None]:
    del app
    try:
      yield
    finally:
      await asyncio.to_thread(service.worker.close)

  def route(
    path: str, handler: _Handler, method: str, *, key: bool = True
  ) -> Any:
    return routing.Route(
      path, _guarded(handler, service, key), methods=[method]
    )

  return applications.Starlette(
    routes=[
      route("/health", health, "GET", key=False),
      route("/v1/models", models, "GET"),
      route("/v1/models/{name}", model, "GET"),
      route("/v1/chat/completions", chat, "POST"),
      route("/v1/completions", completion, "POST"),
    ],
    exception_handlers={exceptions.HTTPException: _no_such_path},
    lifespan=lifespan,
  )


def _guarded(handler: _Handler, service: Service, needs_key: bool) -> _Handler:
  """A handler behind its checks, whose every error is one of the API's."""

  async def guarded(request: Any) -> Any:
    try:
      _check_host(request, service)
      if needs_key:
        _check_key(request, service)
      return await handler(request)
    except ApiError as error:
      return _json(error.as_json(), error.status)
    except Exception as error:
      return _json(_unforeseen(error).as_json(), 500)

  return guarded


def _unforeseen(error: Exception) -> ApiError:
  """Logs an error without its message, which might quote a request."""
  frames = "".join(traceback.format_tb(error.__traceback__))
  _log.error("%s\n%s", type(error).__name__, frames)
  return ApiError(500, "the server failed; its log says where.")


async def _no_such_path(request: Any, error: Any) -> Any:
  path = request.url.path[:80]
  message = f"{request.method} {path!r} is not served: {error.detail}."
  return _json(
    ApiError(error.status_code, message).as_json(), error.status_code
  )


def _check_host(request: Any, service: Service) -> None:
  if service.hosts is None:
    return
  host = request.headers.get("host", "").lower()
  if host.rpartition(":")[0] in service.hosts or host in service.hosts:
    return
  raise ApiError(
    400, f"this server is not {host[:80]!r}: call it localhost.", code="host"
  )


def _check_key(request: Any, service: Service) -> None:
  if service.api_key is None:
    return
  scheme, _, key = request.headers.get("authorization", "").partition(" ")
  # Of equal length, compared in constant time: nothing tells how much is right.
  given, expected = (
    hashlib.sha256(text.encode()).digest()
    for text in (key.strip(), service.api_key)
  )
  is_right = hmac.compare_digest(given, expected)
  if not (is_right and scheme.lower() == "bearer"):
    raise ApiError(
      401,
      "send the server's key, as `Authorization: Bearer KEY`.",
      code="invalid_api_key",
    )


async def _answer(
  request: Any, service: Service, parse: Callable[..., serve_requests.Asked]
) -> Any:
  body = await _body(request)
  asked = await asyncio.to_thread(
    parse,
    body,
    service.model,
    name=service.name,
    max_length=service.worker.max_length,
  )
  reply = Reply(
    asked,
    service.model.tokenizer,
    service.name,
    service.model.fingerprint,
  )
  answering = Answering(service.worker, service.model, asked)
  if asked.stream:
    return _stream(answering, reply)
  try:
    choices = await _unless_gone(request, answering.choices())
  finally:
    answering.cancel()
  if choices is None:  # Nobody reads this.
    return _json({}, 499)
  return _json(reply.whole(choices))


async def _body(request: Any) -> dict[str, Any]:
  kind = request.headers.get("content-type", "").partition(";")[0].strip()
  # A page in a browser can send anything but this to a server that is not its.
  if kind.lower() != "application/json":
    raise ApiError(
      400, f"send `Content-Type: application/json`, not {kind[:80]!r}."
    )
  too_large = ApiError(
    413, f"the request is larger than {MAX_BODY_BYTES:,} bytes."
  )
  announced = request.headers.get("content-length", "0")
  if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
    raise too_large
  data = bytearray()
  async for part in request.stream():
    data += part
    if len(data) > MAX_BODY_BYTES:
      raise too_large
  try:
    return strict_json.parse_object(bytes(data), what="the request")
  except ValueError as error:
    raise ApiError(400, str(error)[:400], code="invalid_json") from error


async def _unless_gone(request: Any, result: Any) -> Any:
  """What a coroutine returns; None if the client hangs up before."""

  async def hung_up() -> None:
    while (await request.receive())["type"] != "http.disconnect":
      pass

  working = asyncio.ensure_future(result)
  gone = asyncio.ensure_future(hung_up())
  try:
    await asyncio.wait({working, gone}, return_when="FIRST_COMPLETED")
    return working.result() if working.done() else None
  finally:
    working.cancel()
    gone.cancel()


def _stream(answering: Answering, reply: Reply) -> Any:
  """A response that ends with its client, and its jobs with it."""
  from starlette import responses

  async def lines() -> AsyncIterator[bytes]:
    choices = []
    try:
      for chunk in reply.opening():
        yield serve_answers.event(chunk)
      async for piece in answering.pieces():
        for chunk in reply.chunks(piece):
          yield serve_answers.event(chunk)
        if piece.choice is not None:
          choices.append(piece.choice)
      for chunk in reply.closing(choices):
        yield serve_answers.event(chunk)
      yield serve_answers.DONE
    except ApiError as error:
      yield serve_answers.event(error.as_json())
    except Exception as error:
      yield serve_answers.event(_unforeseen(error).as_json())

  async def respond(scope: Any, receive: Any, send: Any) -> None:
    response = responses.StreamingResponse(
      lines(),
      media_type="text/event-stream",
      headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )
    try:
      await response(scope, receive, send)
    finally:
      answering.cancel()

  return respond


def _card(service: Service, created: int) -> dict[str, Any]:
  return {
    "id": service.name,
    "object": "model",
    "created": created,
    "owned_by": "ramjax",
    "max_model_len": service.worker.max_length,
  }


def _json(body: dict[str, Any], status: int = 200) -> Any:
  from starlette import responses

  headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
  if status == 429:
    headers = {"Retry-After": "1"}
  return responses.Response(
    serve_answers.to_bytes(body),
    status,
    headers=headers,
    media_type="application/json",
  )
