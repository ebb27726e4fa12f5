# SPDX-License-Identifier: Apache-2.0
"""A page as a browser would read it, and what a stranger may have written."""

import html.parser

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u202e\x1b[31m"


class Seen(html.parser.HTMLParser):
  """What a browser would make of a page: tags, attributes, text."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.attributes, self.texts = [], [], []
    self.feed(page)
    self.text = " ".join(" ".join(self.texts).split())

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += attrs

  def handle_data(self, data):
    if self.tags and self.tags[-1] not in ("style", "script"):
      self.texts.append(data)
