# SPDX-License-Identifier: Apache-2.0
"""The frame of a report: one HTML document that asks for nothing outside it.

Its policy lets a browser run no script but its own, so that whatever a model
wrote stays text.
"""

import base64
import hashlib
import html
from collections.abc import Sequence

from ramjax.tools import report_eval_look, report_look, report_text


def document(name: str, sections: Sequence[str]) -> str:
  """A page.

  Args:
    name: What it is about, any text.
    sections: HTML, in order.

  Returns:
    The document, without lone surrogates: it can be written as UTF-8.
  """
  shown = html.escape(report_text.visible(name, 120))
  digest = hashlib.sha256(report_look.SCRIPT.encode()).digest()
  policy = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src"
    f" 'sha256-{base64.b64encode(digest).decode()}'; base-uri 'none';"
    " form-action 'none'"
  )
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    f"<title>{shown} · ramjax report</title>\n"
    f"<style>{report_look.STYLE}{report_eval_look.STYLE}</style></head>\n"
    "<body><main>\n"
    + "\n".join(sections)
    + "\n<footer>Written by <code>ramjax report</code>.</footer>\n"
    f"</main><script>{report_look.SCRIPT}</script></body></html>\n"
  )


def section(title: str, body: str) -> str:
  """A part of a page; `title` is no stranger's."""
  return f"<section><h2>{title}</h2>{body}</section>"


def grid(charts: Sequence[str]) -> str:
  """Figures side by side, where the window is wide enough."""
  return f'<div class="charts">{"".join(charts)}</div>'


def notes(found: Sequence[str]) -> str:
  """What a reader should know, as HTML; "" for nothing."""
  lines = "".join(f"<li>{report_text.escaped(x, 400)}</li>" for x in found)
  return f'<ul class="notes">{lines}</ul>' if lines else ""
