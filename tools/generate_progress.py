# SPDX-License-Identifier: Apache-2.0
"""How far `ramjax generate` is: tokens a second, and the time that is left."""

import sys
import time

import tqdm


def say(text: str) -> None:
  """Prints a line to stderr without tearing a progress bar."""
  tqdm.tqdm.write(text, file=sys.stderr)


class GenerateProgress:
  """A bar on a terminal, and a line for each chunk elsewhere; on stderr."""

  def __init__(self, num_rows: int, done: int, samples: int):
    """Starts the clock.

    Args:
      num_rows: Of the finished file.
      done: Rows that are there.
      samples: Answers of a row.
    """
    self._num_rows = num_rows
    self._done = done
    self._tokens = 0
    self._start = time.monotonic()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=num_rows * samples,
        initial=done * samples,
        unit="answer",
        dynamic_ncols=True,
      )
    elif done:
      say(f"continuing after row {done} of {num_rows}")

  def __enter__(self) -> "GenerateProgress":
    return self

  def __exit__(self, *unused: object) -> None:
    if self._bar is not None:
      self._bar.close()

  def tell(self, num_tokens: int) -> None:
    """Counts an answer."""
    self._tokens += num_tokens
    if self._bar is not None:
      self._bar.set_postfix_str(f"{self._speed():,.0f} tok/s", refresh=False)
      self._bar.update(1)

  def rows_written(self, num_rows: int) -> None:
    """Says how far the file is."""
    if self._bar is None:
      spent = time.monotonic() - self._start
      left = spent / (num_rows - self._done) * (self._num_rows - num_rows)
      say(
        f"row {num_rows}/{self._num_rows}  {self._speed():,.0f} tok/s  left"
        f" {tqdm.tqdm.format_interval(left)}"
      )

  def _speed(self) -> float:
    return self._tokens / max(time.monotonic() - self._start, 1e-9)
