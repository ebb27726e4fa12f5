# SPDX-License-Identifier: Apache-2.0
"""`ramjax serve` on a free port of this machine, in a thread, for tests."""

import contextlib
import dataclasses
import http.client
import json
import pathlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import jax
import tiny_model_folder
import uvicorn

from ramjax.models import llama, sharding
from ramjax.tools import loaded_model, serve_app
from ramjax.tools.serve_worker import Worker

LONG = dataclasses.replace(tiny_model_folder.CONFIG, max_positions=8192)
# Never drawn: answers are as long as they may be.
NO_EOS = {"logit_bias": {"2": -1e6}}


@dataclasses.dataclass(frozen=True)
class Server:
  port: int
  model: loaded_model.LoadedModel
  worker: Worker

  def connect(self) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

  def send(self, path, body=None, *, headers=None):
    """(status, headers, bytes) of one request; `body` is JSON unless bytes."""
    with contextlib.closing(self.connect()) as connection:
      data = body if isinstance(body, bytes | None) else json.dumps(body)
      connection.request(
        "GET" if body is None else "POST",
        path,
        data,
        {"Content-Type": "application/json"} | (headers or {}),
      )
      response = connection.getresponse()
      return response.status, response.headers, response.read()

  def ask(self, path: str, **body: Any) -> dict[str, Any]:
    status, _, data = self.send(path, body)
    assert status == 200, data
    return json.loads(data)

  def chat(self, content: str = "Say a word.", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}]
    return self.ask("/v1/chat/completions", messages=messages, **body)

  def complete(self, prompt: Any, **body: Any) -> dict[str, Any]:
    return self.ask("/v1/completions", prompt=prompt, **body)

  def stream(self, path: str, **body: Any) -> list[dict[str, Any]]:
    """The chunks of a stream, which must end with [DONE]."""
    status, headers, data = self.send(path, {"stream": True, **body})
    assert status == 200, data
    assert headers["content-type"].startswith("text/event-stream")
    lines = data.decode().split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(x.removeprefix("data: ")) for x in lines[:-2]]


def write_model(
  folder: pathlib.Path, *, seed: int = 0
) -> loaded_model.LoadedModel:
  """A model of that folder, on one device: programs for one compile faster."""
  tiny_model_folder.write(folder, LONG, seed=seed)
  model = loaded_model.load(folder, template="plain")
  mesh = sharding.make_mesh({}, jax.devices()[:1])
  shardings = llama.param_shardings(model.config, mesh)
  params = jax.device_put(model.params, shardings)
  return dataclasses.replace(model, params=params, mesh=mesh)


@contextlib.contextmanager
def running(
  model: loaded_model.LoadedModel,
  *,
  num_slots: int = 4,
  max_waiting: int = 8,
  max_length: int = 8192,
  **service: Any,
) -> Iterator[Server]:
  worker = Worker(
    model,
    num_slots=num_slots,
    max_length=max_length,
    max_waiting=max_waiting,
  )
  app = serve_app.make_app(
    serve_app.Service(model=model, worker=worker, name="tiny", **service)
  )
  listener = socket.create_server(("127.0.0.1", 0))
  server = uvicorn.Server(
    uvicorn.Config(
      app,
      loop="asyncio",
      http="h11",
      ws="none",
      log_level="warning",
      timeout_graceful_shutdown=1,
    )
  )
  thread = threading.Thread(target=server.run, args=([listener],))
  thread.start()
  try:
    while not server.started and thread.is_alive():
      time.sleep(0.01)
    yield Server(listener.getsockname()[1], model, worker)
  finally:
    server.should_exit = True
    thread.join()
    worker.close()
    listener.close()
