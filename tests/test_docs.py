# SPDX-License-Identifier: Apache-2.0
"""The pages: no figure left to fill in, no link to nowhere."""

import pathlib
import re

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_PAGES = sorted([*_ROOT.glob("*.md"), *_ROOT.glob("*/README.md")])


@pytest.mark.parametrize("page", _PAGES, ids=lambda p: p.name)
def test_every_figure_is_filled_in(page):
  assert "{{" not in page.read_text()


@pytest.mark.parametrize("page", _PAGES, ids=lambda p: p.name)
def test_every_local_link_leads_somewhere(page):
  for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
    if "://" not in target:
      assert (page.parent / target).exists(), target
