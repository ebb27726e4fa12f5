# SPDX-License-Identifier: Apache-2.0
"""What is installed: the built wheel holds every module, and they import."""

import json
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

_ROOT = pathlib.Path(__file__).parents[1]
_FOLDERS = ("models", "losses", "data", "evals", "trainers", "configs", "tools")

# Imports every module of the wheel, without the checkout: -S leaves out the
# hooks that an editable install puts into site-packages. Packages of the
# extras are made unimportable, as they are where nobody installed them. Tells
# the file of each, and which heavy packages came along.
_IMPORT_ALL = """
import importlib, json, sys
unzipped, *rest = sys.argv[1].split("|")
sys.path[:0] = [unzipped]
sys.path += rest
for name in (
  "torch", "transformers", "trl", "peft", "wandb", "tensorboardX",
  "starlette", "uvicorn", "lm_eval",
):  # fmt: skip
  sys.modules[name] = None
files = {name: importlib.import_module(name).__file__ for name in sys.argv[2:]}
heavy = {"pyarrow", "tensorflow_datasets", "tensorflow", "sentencepiece",
         "tokenizers"} & set(sys.modules)
print(json.dumps({"files": files, "heavy": sorted(heavy)}))
"""


def _run(*command: str, cwd: pathlib.Path) -> str:
  done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def files() -> list[str]:
  """Files of the checkout that git tracks or would; links included."""
  if not (_ROOT / ".git").exists() or not shutil.which("git"):
    pytest.skip("needs a git checkout, to tell its files from leftovers")
  listed = _run(
    *("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
    cwd=_ROOT,
  )
  return [f for f in listed.split("\0") if f and (_ROOT / f).exists()]


@pytest.fixture(scope="module")
def wheel(files, tmp_path_factory) -> zipfile.ZipFile:
  """The wheel, built offline from a copy: building writes into the tree."""
  tree = tmp_path_factory.mktemp("tree")
  for name in files:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(_ROOT / name, tree / name, follow_symlinks=False)
  out = tmp_path_factory.mktemp("wheel")
  _run(
    *(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-index"),
    *("--no-build-isolation", "--no-cache-dir", "--quiet", "-w", str(out)),
    cwd=tree,
  )
  (path,) = out.glob("ramjax-*.whl")
  return zipfile.ZipFile(path)


def _modules(files: list[str]) -> list[str]:
  return [f for f in files if f.endswith(".py") and f.split("/")[0] in _FOLDERS]


def _imported_as(file: str) -> str:
  name = file.removesuffix(".py").removesuffix("/__init__")
  return "ramjax." + name.replace("/", ".")


def test_every_module_is_in_the_wheel_and_nothing_else(files, wheel):
  expected = {f"ramjax/{f}" for f in _modules(files)}
  expected |= {f"ramjax/{folder}/py.typed" for folder in _FOLDERS}
  expected |= {f"ramjax/{f}" for f in files if f.startswith("tools/launch/")}
  expected.add("ramjax/tools/plan_checks.json")
  names = {n for n in wheel.namelist() if ".dist-info/" not in n}
  assert names == expected


def test_the_wheel_brings_its_license_and_its_command(wheel):
  info = {n.partition(".dist-info/")[2]: n for n in wheel.namelist()}
  assert "licenses/LICENSE" in info
  entry_points = wheel.read(info["entry_points.txt"]).decode()
  assert "ramjax = ramjax.tools.cli:main" in entry_points


def test_every_module_of_the_wheel_imports_without_the_checkout(
  files, wheel, tmp_path
):
  unzipped = tmp_path / "site"
  wheel.extractall(unzipped)
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  paths = [
    str(unzipped),
    *sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}),
  ]
  wanted = {
    _imported_as(f): str(unzipped / "ramjax" / f) for f in _modules(files)
  }
  said = _run(
    *(sys.executable, "-I", "-S", "-c", _IMPORT_ALL, "|".join(paths), *wanted),
    cwd=elsewhere,
  )
  found = json.loads(said)
  assert found["files"] == wanted
  # Imported without being asked for anything.
  assert found["heavy"] == []
