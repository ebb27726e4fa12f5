# SPDX-License-Identifier: Apache-2.0
"""Renders a chat template that came with a checkpoint: a stranger's program.

Jinja's sandbox keeps a template from Python's insides, but not from looping
for ever or filling the memory. So a template runs in a process of its own,
`jinja_worker.py`, with limits on all that it could use up. What comes back is
text, which nothing here or there evaluates.
"""

import json
import os
import pathlib
import selectors
import signal
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Self

from ramjax.data import limited_process

MAX_TEMPLATE_BYTES = 64 * 2**10
MAX_OUTPUT_BYTES = 4 * 2**20
# Of processor time, for one rendering: a busy machine makes no template a bad
# one. What a conversation of 4 MiB needs is far below this.
MAX_SECONDS = 2.0
# Of address space, of which the worker has taken 25 MiB once it is ready.
MAX_MEMORY_BYTES = 512 * 2**20

_WORKER = pathlib.Path(__file__).with_name("jinja_worker.py")
_START_SECONDS = 60.0
# Of the clock on the wall, for a process that does not get its processor time.
_MAX_WAIT_SECONDS = 120.0
# JSON writes one byte of text as six at most ("\u0000"), and a name about it.
_MAX_REPLY_BYTES = 6 * MAX_OUTPUT_BYTES + 2**10

_INSTEAD = "Choose one of ramjax's own chat templates instead (data.template)."


class ChatTemplateError(ValueError):
  """A chat template that cannot be used: its own error, or a limit passed."""


class ChatTemplateLimitError(ChatTemplateError):
  """A chat template that is too long, or uses more than it may."""


class JinjaTemplate:
  """A chat template and the one process that renders it.

  Use it in a `with` statement: the process is gone when that is left. It is
  started by the first rendering, and again by the next one after a limit was
  passed.
  """

  def __init__(self, text: str):
    """Takes the template's text, at most `MAX_TEMPLATE_BYTES` in UTF-8.

    Raises:
      ChatTemplateLimitError: It is longer.
    """
    num_bytes = len(text.encode("utf-8", "surrogatepass"))
    if num_bytes > MAX_TEMPLATE_BYTES:
      raise ChatTemplateLimitError(
        f"the chat template is {num_bytes:,} bytes; at most"
        f" {MAX_TEMPLATE_BYTES:,} are read. {_INSTEAD}"
      )
    self._text = text
    self._process: subprocess.Popen[bytes] | None = None
    self._closed = False

  def __enter__(self) -> Self:
    """Returns itself."""
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: types.TracebackType | None,
  ) -> None:
    """Ends the process."""
    self.close()

  def close(self) -> None:
    """Ends the process; no rendering follows."""
    self._closed = True
    self._stop()

  def render(
    self,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    bos_token: str,
    eos_token: str,
    variables: Mapping[str, str] | None = None,
  ) -> str:
    """Renders a conversation, as Hugging Face's `apply_chat_template` does.

    Args:
      messages: Objects with "role" and "content".
      add_generation_prompt: Whether to end with the header of an answer.
      bos_token: The name of the token that starts a sequence, or "".
      eos_token: The name of the token that ends a sequence, or "".
      variables: Further variables that the template may read: "date_string"
        for one that would read the clock.

    Returns:
      The text, special tokens by name.

    Raises:
      ChatTemplateLimitError: It took more processor time than `MAX_SECONDS`,
        more memory than `MAX_MEMORY_BYTES`, or gave more than
        `MAX_OUTPUT_BYTES`; or did not come about in two minutes.
      ChatTemplateError: The template has an error, or raised one.
      RuntimeError: The process could not be started, or was closed.
    """
    if self._closed:
      raise RuntimeError("the chat template was closed: make a new one.")
    request = {
      "messages": [dict(message) for message in messages],
      "tools": None,
      "documents": None,
      "add_generation_prompt": add_generation_prompt,
      "bos_token": bos_token,
      "eos_token": eos_token,
      **(variables or {}),
    }
    line = json.dumps({"variables": request}).encode() + b"\n"
    try:
      if self._process is None:
        line = self._start() + line
      reply = self._exchange(line, _MAX_WAIT_SECONDS)
    except BaseException:
      # A worker in the middle of something answers no further question.
      self._stop()
      raise
    if "limit" in reply:
      self._stop()
      _refuse_excess(reply["limit"])
    if "text" not in reply:
      raise ChatTemplateError(
        "the chat template could not render the conversation:"
        f" {_printable(reply.get('failed', ''))}. {_INSTEAD}"
      )
    text = reply["text"]
    if len(text.encode("utf-8", "surrogatepass")) > MAX_OUTPUT_BYTES:
      self._stop()
      _refuse_excess("output")
    return text

  def _start(self) -> bytes:
    """Starts the process, and returns what it is to read first."""
    self._process = limited_process.start(
      _WORKER,
      memory_bytes=MAX_MEMORY_BYTES,
      cpu_seconds=int(_START_SECONDS),
    )
    try:
      reply = self._exchange(b"", _START_SECONDS)
    except ChatTemplateError as error:
      raise RuntimeError(
        "the process that renders chat templates could not be started with"
        f" {sys.executable}, within {_START_SECONDS:g} s and"
        f" {MAX_MEMORY_BYTES:,} bytes of address space."
      ) from error
    if "ready" not in reply:
      raise RuntimeError(
        "the process that renders chat templates could not be started:"
        f" {reply.get('failed')}. Is jinja2 installed next to ramjax?"
      )
    source = {
      "template": self._text,
      "max_output_bytes": MAX_OUTPUT_BYTES,
      "max_seconds": MAX_SECONDS,
    }
    return json.dumps(source).encode() + b"\n"

  def _exchange(self, request: bytes, seconds: float) -> dict[str, str]:
    """Sends a request and reads one line of JSON, both within the time."""
    assert self._process is not None
    sending, receiving = self._process.stdin, self._process.stdout
    assert sending is not None and receiving is not None
    deadline = time.monotonic() + seconds
    received = bytearray()
    with selectors.DefaultSelector() as selector:
      selector.register(receiving, selectors.EVENT_READ)
      if request:
        os.set_blocking(sending.fileno(), False)
        selector.register(sending, selectors.EVENT_WRITE)
      while not received.endswith(b"\n"):
        left = deadline - time.monotonic()
        ready = selector.select(left) if left > 0 else []
        if not ready:
          _refuse_excess("wait")
        for key, _ in ready:
          if key.fileobj is receiving:
            chunk = os.read(key.fd, 2**16)
            if not chunk:
              self._refuse_end()
            received += chunk
            if len(received) > _MAX_REPLY_BYTES:
              _refuse_excess("output")
            continue
          try:
            request = request[os.write(key.fd, request) :]
          except BrokenPipeError:
            self._refuse_end()
          if not request:
            selector.unregister(sending)
    try:
      reply = json.loads(received)
    except (ValueError, RecursionError):
      reply = None
    if not isinstance(reply, dict) or not all(
      isinstance(value, str) for value in reply.values()
    ):
      _refuse_excess("process")  # It was made to say something else.
    return reply

  def _refuse_end(self) -> NoReturn:
    """Says why the process ended: the system ends it by its timer's signal."""
    assert self._process is not None
    process, self._process = self._process, None
    status = limited_process.stop(process)
    _refuse_excess("time" if status == -signal.SIGPROF else "process")

  def _stop(self) -> None:
    if self._process is not None:
      limited_process.stop(self._process)
      self._process = None


def _printable(message: str) -> str:
  """A stranger's message, fit for a terminal."""
  return "".join(
    letter if letter.isprintable() else " " for letter in message[:500]
  )


def _refuse_excess(what: str) -> NoReturn:
  limits = {
    "output": f"gave more than {MAX_OUTPUT_BYTES:,} bytes of text",
    "memory": f"needed more than {MAX_MEMORY_BYTES:,} bytes of memory",
    "process": "made the process that renders it end",
    "time": f"took longer than {MAX_SECONDS:g} s of processor time",
    "wait": f"was not rendered within {_MAX_WAIT_SECONDS:g} s",
  }
  raise ChatTemplateLimitError(
    f"the chat template {limits.get(what, limits['process'])}, which is refused. {_INSTEAD}"
  )
