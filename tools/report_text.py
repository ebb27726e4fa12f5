# SPDX-License-Identifier: Apache-2.0
"""Texts and numbers as a report shows them.

What a model writes is hostile: it is escaped, cut, and its invisible
characters are made visible before any of it reaches a page.
"""

import html
import math
import re

# Control characters but tab and newline, marks that reorder or hide text, and
# halves of surrogate pairs, which no encoding can write.
_HIDDEN = re.compile(
  r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f"
  r"\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str, limit: int) -> str:
  """The first `limit` characters, with hidden ones written as <U+202E>.

  Args:
    text: Anything.
    limit: Most characters of `text` to keep.

  Returns:
    Plain text, NOT escaped for HTML.
  """
  return _HIDDEN.sub(lambda m: f"<U+{ord(m[0]):04X}>", text[:limit])


def escaped(text: str, limit: int) -> str:
  """`visible` text as HTML, with a remark if it was cut.

  Args:
    text: Anything.
    limit: Most characters of `text` to show.

  Returns:
    HTML that is safe as an element's content.
  """
  shown = html.escape(visible(text, limit))
  if len(text) <= limit:
    return shown
  return (
    f'{shown}<span class="cut">… the first {limit:,} of {len(text):,}'
    " characters</span>"
  )


def number(value: float, digits: int = 4) -> str:
  """Some significant digits, without an exponent where one can do without."""
  if not math.isfinite(value):
    return (
      "NaN" if math.isnan(value) else ("∞" if value > 0 else "\N{MINUS SIGN}∞")
    )
  if 1000 <= abs(value) < 1e9:
    return f"{value:,.0f}"
  if value == 0 or not 1e-3 <= abs(value) < 1e9:
    return f"{value:.{digits}g}"
  decimals = digits - 1 - math.floor(math.log10(abs(value)))
  return f"{value:.{max(decimals, 0)}f}"


def count(value: float) -> str:
  """Three significant digits of a large count: "9,876", "12.3M"."""
  if not math.isfinite(value):
    return number(value)
  for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
    # 999,600 is 1.00M and not 1000k.
    if abs(value) >= max(size * 0.9995, 1e4):
      scaled = value / size
      digits = max(0, 2 - math.floor(math.log10(abs(scaled) * 1.0005)))
      return f"{scaled:.{digits}f}{letter}"
  return f"{value:,.0f}"


def percent(share: float) -> str:
  """A share of 1 in percent, one decimal."""
  return f"{100 * share:.1f}%" if math.isfinite(share) else number(share)


def duration(seconds: float) -> str:
  """A time in the two largest units that matter: "42 s", "3 min 5 s"."""
  if seconds < 59.5:
    return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
  whole = round(seconds)
  if whole < 3600:
    return f"{whole // 60} min {whole % 60} s"
  minutes = round(seconds / 60)
  if minutes < 24 * 60:
    return f"{minutes // 60} h {minutes % 60} min"
  hours = round(seconds / 3600)
  return f"{hours // 24} d {hours % 24} h"
