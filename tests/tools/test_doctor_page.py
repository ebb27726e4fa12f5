# SPDX-License-Identifier: Apache-2.0
"""The doctor's page: whole, self-contained, and nothing in it runs."""

import html.parser
import re

import pytest
import tiny_audit

from ramjax.data import audit
from ramjax.data.rows import PreferenceRow, TextRow
from ramjax.tools import doctor, doctor_page

_HOSTILE = "<script>alert(1)</script><img src=x onerror=\"a('&')\">"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  return tiny_audit.train(tmp_path_factory.mktemp("tokenizer"))


def _page(rows, tokenizer, *, name="mine", refused=(), num_rows=3, **settings):
  data = tiny_audit.of_rows(rows, tokenizer, **settings)
  found = audit.audit(data)
  diagnosis = doctor.Diagnosis(name, "sft", data, found, refused, num_rows)
  return doctor_page.page(diagnosis)


class _Reader(html.parser.HTMLParser):
  """Tags, attributes and the text of a page; balance of its tags."""

  def __init__(self, page):
    super().__init__()
    self.tags, self.names, self.text, self.open = set(), set(), "", []
    self.feed(page)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.names |= {name for name, _ in attrs}
    if tag not in ("meta", "br"):
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open[-1:] != ["style"]:
      self.text += data


def test_hostile_text_stays_text(tokenizer):
  rows = [TextRow(_HOSTILE, _HOSTILE)] * 2
  page = _page(rows, tokenizer, name=_HOSTILE, refused=[_HOSTILE])
  reader = _Reader(page)
  assert not reader.tags & {"script", "img", "iframe", "link"}
  assert not any(name.startswith("on") for name in reader.names)
  # In the title, the heading, what was set aside, and twice in each row.
  assert reader.text.count(_HOSTILE) == 3 + 4
  assert reader.open == []


def test_the_page_asks_nothing_of_the_network(tokenizer):
  page = _page([TextRow("!", "?")], tokenizer)
  assert "default-src 'none'" in page
  assert not re.search(r"https?://|url\(|@import|src=", page)


def test_hidden_and_reordering_characters_are_shown(tokenizer):
  page = _page([TextRow("\u202eabc", "\x00")], tokenizer)
  assert "\u202e" not in page and "&lt;U+202E&gt;" in page
  assert "\x00" not in page


def test_tokens_are_marked_by_what_becomes_of_them(tokenizer):
  page = _page([TextRow("!", "?!?!?!")], tokenizer, max_length=6)
  assert (
    '<span class="t p x">&lt;s&gt;</span><span class="t p">!</span>' in page
  )
  assert '<span class="t s">?</span>' in page
  assert '<span class="t c">?</span><span class="t c">!</span>' in page
  assert '<span class="t c x">&lt;/s&gt;</span>' in page


def test_findings_come_sorted_and_link_to_their_rows(tokenizer):
  rows = [TextRow(f"question {i}:", f" answer {i}") for i in range(6)]
  page = _page([*rows, rows[0]], tokenizer, num_rows=2, quarantined=1)
  severities = re.findall(r'<span class="mark (\w+)">', page)
  order = ["error", "warning", "note"]
  assert severities == sorted(severities, key=order.index)
  assert '<a href="#row-2">main row 7</a>' in page
  assert 'id="row-2"><h3>main row 7</h3>' in page
  assert "<h3>main row 3</h3>" not in page


def test_a_held_out_row_has_no_link(tokenizer):
  row = TextRow("!", "?")
  page = _page([row], tokenizer, held_out=[row])
  assert '<div class="places">held-out row 1</div>' in page


def test_clean_data_say_so(tokenizer):
  page = _page([TextRow("!", "?")], tokenizer)
  assert "Every check passed." in page
  assert '<p class="verdict clean">Nothing found</p>' in page


def test_a_very_long_text_is_shortened_in_its_middle(tokenizer):
  rows = [PreferenceRow("!" * 4000, "?", "!")]
  page = _page(rows, tokenizer, max_length=5000)
  # BOS and 4000, of which 3000 are shown.
  assert "1,001 tokens" in page
  assert page.count('<span class="t p">!</span>') == 2999


def test_no_rows_leave_out_the_section(tokenizer):
  page = _page([TextRow("!", "?")], tokenizer, num_rows=0)
  assert "<h2>Rows</h2>" not in page
