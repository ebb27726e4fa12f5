# SPDX-License-Identifier: Apache-2.0
"""A loss is added by three new files and no edit, as `WORKSPACE.md` shows it.

The files are those of the page: what it says is what is run here, beside a copy
of the tree.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import tiny_compile

_ROOT = pathlib.Path(__file__).parents[1]
_FILE = re.compile(r"^`(\S+\.py)`:\n\n```python\n(.*?)^```$", re.M | re.S)
# Only these get new files; the rest is linked.
_COPIED = ("losses", "configs")


def _files() -> dict[str, str]:
  """Path -> text of each file of the section."""
  page = (_ROOT / "WORKSPACE.md").read_text()
  section = page.partition("\n## Add a loss\n")[2].partition("\n## ")[0]
  return dict(_FILE.findall(section))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> pathlib.Path:
  """The tree with the new files, and `ramjax` made of its folders."""
  root = tmp_path_factory.mktemp("added") / "checkout"
  package = root / ".pkgroot" / "ramjax"
  package.mkdir(parents=True)
  for name in ("pyproject.toml", "WORKSPACE.md"):
    (root / name).symlink_to(_ROOT / name)
  for init in _ROOT.glob("*/__init__.py"):
    folder = init.parent.name
    if folder in _COPIED:
      _link_files(_ROOT / folder, root / folder)
    else:
      (root / folder).symlink_to(_ROOT / folder)
    (package / folder).symlink_to(root / folder)
  (root / "tests").mkdir()
  for name in ("conftest.py", "tiny", "trainers"):
    (root / "tests" / name).symlink_to(_ROOT / "tests" / name)
  (root / "tests/losses").mkdir()
  for name, text in _files().items():
    assert not (root / name).exists(), f"{name} is there already"
    (root / name).write_text(text)
  return root


def _link_files(source: pathlib.Path, target: pathlib.Path) -> None:
  target.mkdir()
  for path in source.iterdir():
    if path.name != "__pycache__":
      (target / path.name).symlink_to(path)


def _run(checkout: pathlib.Path, *argv: str) -> str:
  environment = os.environ | {"XLA_FLAGS": tiny_compile.quick()}
  environment["PYTHONPATH"] = str(checkout / ".pkgroot")
  environment["PYTHONDONTWRITEBYTECODE"] = "1"
  done = subprocess.run(
    [sys.executable, *argv],
    cwd=checkout,
    capture_output=True,
    text=True,
    check=False,
    env=environment,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


def test_the_page_shows_three_new_files():
  names = sorted(_files())
  assert [name.rpartition("/")[0] for name in names] == [
    "configs",
    "losses",
    "tests/losses",
  ]
  for name in names:
    assert not (_ROOT / name).exists(), f"{name}: show one that is not there"


@pytest.mark.slow
def test_its_config_trains_with_it(checkout):
  (config,) = (name for name in _files() if name.startswith("configs/"))
  out = _run(
    checkout,
    "-m",
    "ramjax.tools.cli",
    "train",
    f"--config={config}",
    "--workdir=run",
    "--config.data.sources.main.path=task_pairs:120?seed=0",
    "--config.data.sources.main.eval_rows=8",
    "--config.tokenizer.train_vocab_size=350",
    "--config.model.vocab_size=350",
    "--config.model.width=16",
    "--config.model.num_layers=1",
    "--config.optim.warmup_steps=1",
    "--config.run.total_steps=2",
    "--config.run.log_every=1",
    "--config.run.compilation_cache=",
  )
  assert "step 2/2" in out and "finished" in out
  assert (checkout / "run/checkpoints/2").is_dir()


def test_its_test_passes(checkout):
  (test,) = (name for name in _files() if name.startswith("tests/"))
  out = _run(checkout, "-m", "pytest", "-p", "no:cacheprovider", test)
  assert "passed" in out or "100%" in out


def test_the_invariance_suite_finds_it(checkout):
  (loss,) = (name for name in _files() if name.startswith("losses/"))
  name = pathlib.Path(loss).stem
  code = (
    "import sys; sys.path[:0] = ['tests/tiny'];"
    " import tiny_objectives as t;"
    f" assert {name!r} in t.FAMILIES['preference'].terms;"
    " cases = [n for f in t.FAMILIES.values() for n in f.terms];"
    " assert sorted(cases) == sorted(t.trainable_losses())"
  )
  _run(checkout, "-c", code)
