# SPDX-License-Identifier: Apache-2.0
"""A chat-completions server on this machine that does as it is told, for tests."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple


class Reply(NamedTuple):
  """What the server sends back."""

  body: bytes
  status: int = 200
  headers: tuple[tuple[str, str], ...] = ()


class Asked(NamedTuple):
  """What the server was sent."""

  path: str
  headers: dict[str, str]
  body: dict[str, Any]


def answer(
  text: str = "yes", reason: str = "stop", logprobs=(-0.5, -0.25)
) -> dict[str, Any]:
  """A good answer as a JSON object."""
  choice = {
    "index": 0,
    "message": {"role": "assistant", "content": text},
    "finish_reason": reason,
    "logprobs": {"content": [{"token": "t", "logprob": x} for x in logprobs]},
  }
  usage = {"prompt_tokens": 3, "completion_tokens": len(logprobs)}
  return {"id": "1", "choices": [choice], "usage": usage}


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
  """A value as JSON; `Retry_After` is the header Retry-After."""
  named = tuple((k.replace("_", "-"), v) for k, v in headers.items())
  return Reply(json.dumps(value).encode(), status, named)


class TinyEndpoint:
  """Serves from a thread; a context manager.

  Attributes:
    asked: All that was asked, in the order of arrival.
    url: Its base address.
    most_at_once: Requests that were under way at the same time, at most.
  """

  def __init__(self, act: Callable[[int, Asked], Reply]):
    """Answers request `n` (from 0) with `act(n, asked)`."""
    self.asked: list[Asked] = []
    self.most_at_once = 0
    self._at_once = 0
    lock = threading.Lock()
    server = self

    class Handler(http.server.BaseHTTPRequestHandler):
      protocol_version = "HTTP/1.1"

      def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = json.loads(self.rfile.read(length))
        asked = Asked(self.path, dict(self.headers.items()), body)
        with lock:
          number = len(server.asked)
          server.asked.append(asked)
          server._at_once += 1
          server.most_at_once = max(server.most_at_once, server._at_once)
        try:
          sent = act(number, asked)
        finally:
          with lock:
            server._at_once -= 1
        try:
          self.send_response(sent.status)
          for name, value in sent.headers:
            self.send_header(name, value)
          self.send_header("Content-Length", str(len(sent.body)))
          self.end_headers()
          self.wfile.write(sent.body)
        except (BrokenPipeError, ConnectionResetError):
          self.close_connection = True  # Who asked has given up.

      def log_message(self, format: str, *args: Any) -> None:
        pass

    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    self._server.daemon_threads = True
    self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
    self._thread = threading.Thread(
      target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
    )

  def __enter__(self) -> "TinyEndpoint":
    self._thread.start()
    return self

  def __exit__(self, *unused: object) -> None:
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()
