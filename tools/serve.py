# SPDX-License-Identifier: Apache-2.0
"""`ramjax serve`: a model behind the HTTP API that OpenAI's clients speak."""

import argparse
import contextlib
import ipaddress
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from ramjax.tools import loaded_model, serve_app
from ramjax.tools.serve_worker import Worker

# A cache of 16 slots of this length takes 8.6 GB for Llama 3 8B in bfloat16.
_DEFAULT_LENGTH = 4096
# Seconds after a signal in which answers may come to their end.
_GRACE_S = 5


def main(argv: Sequence[str]) -> int:
  """Serves until SIGINT or SIGTERM.

  Args:
    argv: The arguments behind `ramjax serve`.

  Returns:
    The exit status: 0 after a signal, 1 if the server cannot start. Wrong
    arguments exit with 2, as argparse does.
  """
  args = _parser().parse_args(argv)
  try:
    _require_extra()
    key = _api_key(args.api_key_env)
    with contextlib.closing(_bind(args.host, args.port)) as listener:
      _serve(args, key, listener)
  except (ValueError, OSError) as error:
    print(f"ramjax serve: {error}", file=sys.stderr)
    return 1
  return 0


def _serve(
  args: argparse.Namespace, key: str | None, listener: socket.socket
) -> None:
  model = loaded_model.load(
    args.model,
    step=args.step,
    average=args.average,
    template=args.template,
    dtype=args.dtype,
  )
  most = model.config.max_positions
  max_length = args.max_length or min(most, _DEFAULT_LENGTH)
  if max_length > most:
    raise ValueError(
      f"--max-length={max_length}: the model is for {most} positions."
    )
  name = args.model.resolve().name
  worker = Worker(
    model,
    num_slots=args.slots,
    max_length=max_length,
    max_waiting=args.max_waiting,
  )
  try:
    is_local = _is_loopback(listener)
    service = serve_app.Service(
      model=model,
      worker=worker,
      name=name,
      api_key=key,
      hosts=_local_names(args.host) if is_local else None,
    )
    listener.listen(128)
    _announce(name, model.template, listener, is_local, key)
    _run(serve_app.make_app(service), worker, listener)
  finally:
    worker.close()


def _run(app: Any, worker: Worker, listener: socket.socket) -> None:
  """Serves until a signal, and then until what was begun is answered."""
  import uvicorn

  class Server(uvicorn.Server):
    """Tells what takes too long to end that it is over."""

    def handle_exit(self, sig: int, frame: Any) -> None:
      super().handle_exit(sig, frame)
      last = threading.Timer(_GRACE_S, worker.close)
      last.daemon = True
      last.start()

  server = Server(
    uvicorn.Config(
      app,
      # What is tested, whatever else is installed.
      loop="asyncio",
      http="h11",
      ws="none",
      log_level="warning",
      access_log=False,
      server_header=False,
      proxy_headers=False,
      # By then, even a client that reads nothing has no job any more.
      timeout_graceful_shutdown=2 * _GRACE_S,
    )
  )
  # uvicorn raises the signal that ended it again; to us that is the end.
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
  server.run(sockets=[listener])


def _announce(
  name: str,
  template: str | None,
  listener: socket.socket,
  is_local: bool,
  key: str | None,
) -> None:
  host, port = listener.getsockname()[:2]
  shown = f"[{host}]" if ":" in host else host
  if not is_local and key is None:
    print(
      f"ramjax serve: warning: {shown} can be reached from other machines, and"
      " whoever reaches it is answered: set a key with --api-key-env, or let"
      " --host be 127.0.0.1.",
      file=sys.stderr,
    )
  chat = f"chat template {template}" if template else "no chat template"
  print(f"serving {name} ({chat}) at http://{shown}:{port}/v1", flush=True)


def _require_extra() -> None:
  try:
    import starlette  # noqa: F401
    import uvicorn  # noqa: F401
  except ModuleNotFoundError as error:
    raise ValueError(
      f"{error.name} is not installed: pip install 'ramjax[serve]'"
    ) from error


def _api_key(variable: str | None) -> str | None:
  if variable is None:
    return None
  key = os.environ.get(variable, "")
  if not re.fullmatch(r"[!-~]{1,4096}", key):
    raise ValueError(
      f"--api-key-env={variable}: that environment variable is empty, or no"
      " key: one is of printable ASCII characters without spaces."
    )
  return key


def _bind(host: str, port: int) -> socket.socket:
  """A socket that is bound but does not listen yet: the model comes first."""
  try:
    family, kind, proto, _, address = socket.getaddrinfo(
      host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
      listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      listener.bind(address)
    except OSError:
      listener.close()
      raise
  except OSError as error:
    raise OSError(
      f"--host={host} --port={port} cannot be listened at: {error}. Another"
      " server may run there; --port=0 takes a free port."
    ) from error
  return listener


def _is_loopback(listener: socket.socket) -> bool:
  return ipaddress.ip_address(listener.getsockname()[0]).is_loopback


def _local_names(host: str) -> tuple[str, ...]:
  return ("localhost", "127.0.0.1", "[::1]", host.lower())


def _at_least_1(text: str) -> int:
  if not (text.isascii() and text.isdigit() and 1 <= int(text) < 2**31):
    raise argparse.ArgumentTypeError(f"{text!r} is no integer of 1 or more")
  return int(text)


def _port(text: str) -> int:
  if not (text.isascii() and text.isdigit() and int(text) < 2**16):
    raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
  return int(text)


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog="ramjax serve",
    description=(
      "Answer requests over HTTP as OpenAI's API does: POST"
      " /v1/chat/completions and\n/v1/completions, GET /v1/models and /health."
      " Requests that arrive together are\nanswered together, up to --slots at"
      " a time. The same request with the same seed\nhas the same answer.\n\n"
      "Beyond OpenAI's fields: top_k, min_p, repetition_penalty. What is not"
      " offered (tools,\nforced formats, penalties by count) is refused, not"
      " ignored. The first request of\na kind waits until it is compiled."
    ),
    epilog=(
      "examples:\n"
      "  ramjax serve --model=runs/quickstart\n"
      "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type:"
      ' application/json\' \\\n    -d \'{"messages": [{"role": "user",'
      ' "content": "Hello"}]}\'\n'
      "  KEY=$(openssl rand -hex 16) ramjax serve --model=exported"
      " --host=0.0.0.0 \\\n    --api-key-env=KEY"
    ),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  loaded_model.add_options(parser)
  parser.add_argument(
    "--host",
    default="127.0.0.1",
    help="address to listen at (default: %(default)s, this machine alone)",
  )
  parser.add_argument(
    "--port",
    type=_port,
    default=8000,
    help="port to listen at; 0 takes a free one (default: %(default)s)",
  )
  parser.add_argument(
    "--api-key-env",
    metavar="VAR",
    help="environment variable with the key that clients must send",
  )
  parser.add_argument(
    "--slots",
    type=_at_least_1,
    default=16,
    metavar="N",
    help="answers that are written at a time (default: %(default)s)",
  )
  parser.add_argument(
    "--max-waiting",
    type=_at_least_1,
    default=256,
    metavar="N",
    help="answers beyond those; more are refused (default: %(default)s)",
  )
  parser.add_argument(
    "--max-length",
    type=_at_least_1,
    metavar="N",
    help=(
      "tokens of a prompt with its answer; memory grows with --slots times this"
      f" (default: the model's, {_DEFAULT_LENGTH:,} at most)"
    ),
  )
  return parser
