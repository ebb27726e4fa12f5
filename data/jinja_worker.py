# SPDX-License-Identifier: Apache-2.0
"""The program that renders a stranger's chat template, in a process of its own.

`jinja_sandbox.py` starts it with limits on memory, time and files, and talks to
it in lines of JSON. The first line that it reads holds the template; every
further one asks for one rendering. It never sees a file of the user's.
"""

import datetime
import json
import math
import resource
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def _environment() -> Any:
  """The Jinja environment in which Hugging Face renders chat templates.

  https://huggingface.co/docs/transformers/chat_templating_writing
  """
  import jinja2
  import jinja2.ext
  import jinja2.nodes
  import jinja2.sandbox
  import jinja2.utils

  def raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)

  def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
  ) -> str:
    # Jinja's own filter escapes HTML.
    return json.dumps(
      value,
      ensure_ascii=ensure_ascii,
      indent=indent,
      separators=separators,
      sort_keys=sort_keys,
    )

  def strftime_now(pattern: str) -> str:
    return datetime.datetime.now().strftime(pattern)

  def make_dict(*args: Any, **kwargs: Any) -> dict[Any, Any]:
    # Not the class itself: a class has attributes to climb by.
    return dict(*args, **kwargs)

  class Namespace(jinja2.utils.Namespace):
    """Without the names that Python gives a meaning."""

    def __init__(*args: Any, **kwargs: Any) -> None:
      self, *rest = args
      jinja2.utils.Namespace.__init__(self)
      for name, value in dict(*rest, **kwargs).items():
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
      if str(name).startswith("_"):
        raise jinja2.TemplateError(
          f"a namespace has no attribute {name!r}: no name may start with _"
        )
      super().__setitem__(name, value)

  class Generation(jinja2.ext.Extension):
    """Renders what stands in "{% generation %}", a mark for trainers."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
      line = next(parser.stream).lineno
      body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
      return jinja2.nodes.Scope(body).set_lineno(line)

  environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True,
    lstrip_blocks=True,
    extensions=[Generation, jinja2.ext.loopcontrols],
  )
  environment.filters["tojson"] = tojson
  environment.globals.update(
    raise_exception=raise_exception,
    strftime_now=strftime_now,
    dict=make_dict,
    namespace=Namespace,
  )
  return environment


class _TooLong(Exception):
  """The text grew beyond what may be sent back."""


def _capped(pieces: Iterable[str], max_bytes: int) -> Iterator[str]:
  """The pieces of a text, as long as they fit."""
  room = max_bytes
  for piece in pieces:
    room -= len(piece)  # First: encoding a huge piece would double it.
    if room >= 0:
      room -= len(piece.encode("utf-8", "surrogatepass")) - len(piece)
    if room < 0:
      raise _TooLong
    yield piece


def _allow(seconds: float) -> None:
  """Gives what comes its processor time, whatever earlier renderings took.

  The timer's signal has no handler in Python, so it ends whatever goes on for
  too long. The limit, in whole seconds, is for want of the timer.
  """
  usage = resource.getrusage(resource.RUSAGE_SELF)
  _, hard = resource.getrlimit(resource.RLIMIT_CPU)
  limit = math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1
  if hard != resource.RLIM_INFINITY:
    limit = min(limit, hard)
  resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
  signal.setitimer(signal.ITIMER_PROF, seconds)


def main() -> None:
  """Answers requests until there are no more."""
  requests, replies = sys.stdin.buffer, sys.stdout.buffer

  def reply(**answer: str) -> None:
    replies.write(json.dumps(answer).encode() + b"\n")
    replies.flush()

  try:
    environment = _environment()
  except (ImportError, MemoryError) as error:
    reply(failed=f"{type(error).__name__}: {error}")
    return
  reply(ready="")
  source = json.loads(requests.readline() or "{}")
  template = None
  # Whether it is ignored or held back would be inherited.
  signal.signal(signal.SIGPROF, signal.SIG_DFL)
  signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
  for line in requests:
    _allow(source["max_seconds"])
    request = json.loads(line)
    try:
      template = template or environment.from_string(source["template"])
      pieces = template.generate(request["variables"])
      text = "".join(_capped(pieces, source["max_output_bytes"]))
    except _TooLong:
      reply(limit="output")
    except MemoryError:
      reply(limit="memory")
    except Exception as error:  # A template can raise whatever Python can.
      reply(failed=f"{type(error).__name__}: {error}"[:2000])
    else:
      reply(text=text)


if __name__ == "__main__":
  main()
