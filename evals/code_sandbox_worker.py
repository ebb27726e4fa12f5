# SPDX-License-Identifier: Apache-2.0
"""The process that runs a stranger's program and its tests; see `code_sandbox`.

It is run by path, with `python -I -S`, and imports the standard library alone.
`sys.argv[1]` is a JSON object of limits. From its standard input it reads two
messages, the program and the tests; to its standard output it writes "ready" or
why it refuses, and then one token for each test that passes.

Three processes with isolation. The first enters new namespaces. The second is
the first of the new process namespace, whose end the kernel makes the end of
all in it; it waits. The third gives up its rights and runs the program.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import secrets
import signal
import struct
import sys
import types

# From linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h.
_NEW_NAMESPACES = 0x00020000 | 0x08000000 | 0x20000000 | 0x40000000
_NEW_USER = 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MS_NOSUID, _MS_NODEV = 0x2, 0x4
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 0x1
_SYS_MOUNT_SETATTR = 442
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITY_VERSION = 0x20080522

# Users that systemd keeps for services that come and go: they own nothing.
_FIRST_UID, _NUM_UIDS = 61184, 4336


class Refusal(Exception):
  """This system cannot run the program safely: why."""


def read_message(fd: int) -> bytes:
  """Reads one message, its length in 8 bytes first, and not a byte more."""
  size = int.from_bytes(_read(fd, 8), "big")
  return _read(fd, size)


def _read(fd: int, size: int) -> bytes:
  parts = []
  while size:
    part = os.read(fd, min(size, 2**16))
    if not part:
      raise EOFError
    parts.append(part)
    size -= len(part)
  return b"".join(parts)


def _call(name: str, *arguments) -> None:
  """Calls a function of the C library, or refuses if it fails."""
  libc = ctypes.CDLL(None, use_errno=True)
  if getattr(libc, name)(*arguments):
    code = ctypes.get_errno()
    what = f"{name} {arguments[0]}" if name == "syscall" else name
    raise Refusal(f"{what}: {errno.errorcode.get(code)}, {os.strerror(code)}")


def _isolate(work: str, work_bytes: int) -> None:
  """Enters new namespaces: no network, no files to write, no other processes.

  The user's own uid stays, with all rights in the namespaces and none outside;
  a root process, whose limits Linux does not enforce, later gives up its uid.
  """
  if sys.platform != "linux":
    raise Refusal(f"there are no namespaces on {sys.platform}")
  uid, gid = os.geteuid(), os.getegid()
  _call("unshare", _NEW_NAMESPACES | (_NEW_USER if uid else 0))
  if uid:
    for name, text in (
      ("setgroups", "deny"),
      ("uid_map", f"{uid} {uid} 1"),
      ("gid_map", f"{gid} {gid} 1"),
    ):
      with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
  _mount("none", "/", _MS_REC | _MS_PRIVATE)
  if not uid:
    _uncover_python()
    os.makedirs(work, exist_ok=True)
  # Sockets of daemons are there, which no namespace shuts.
  if os.path.isdir("/run"):
    _mount("tmpfs", "/run", _MS_NOSUID | _MS_NODEV, "size=4k")
  attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
  _call(
    *("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE),
    *(ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes))),
  )
  options = f"size={work_bytes},nr_inodes=1000,mode=1777"
  _mount("tmpfs", work, _MS_NOSUID | _MS_NODEV, options)
  os.chdir(work)


def _mount(source: str, target: str, flags: int, options: str = "") -> None:
  kind = b"tmpfs" if source == "tmpfs" else None
  _call(
    *("mount", source.encode(), os.fsencode(target), kind),
    *(ctypes.c_ulong(flags), options.encode() or None),
  )


def _uncover_python() -> None:
  """Makes Python's library readable to all if it is root's own.

  What keeps others out is a folder such as /root. An empty one takes its place,
  in which the path to Python, and nothing else, is made again.
  """
  closed = _closed_folder(sys.base_prefix)
  if closed:
    prefix = os.open(sys.base_prefix, os.O_PATH)
    _mount("tmpfs", closed, _MS_NOSUID | _MS_NODEV, "size=64k,mode=755")
    os.makedirs(sys.base_prefix)
    _mount(f"/proc/self/fd/{prefix}", sys.base_prefix, _MS_BIND | _MS_REC)
    os.close(prefix)


def _closed_folder(path: str) -> str:
  """The outermost folder on a path that others may not enter, or ""."""
  parts = os.path.realpath(path).split("/")
  for i in range(2, len(parts) + 1):
    folder = "/".join(parts[:i])
    if not os.stat(folder).st_mode & 0o001:
      return folder
  return ""


def _give_up_rights(uid: int) -> None:
  """Leaves the process with no capability and, if it was root, as `uid`."""
  if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
  if sys.platform == "linux":
    header = ctypes.c_char_p(struct.pack("=Ii", _CAPABILITY_VERSION, 0))
    _call("capset", header, ctypes.c_char_p(bytes(24)))
    _call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
  if not os.access(os.__file__, os.R_OK):
    raise Refusal(
      f"only root may read {os.__file__}: run as another user, or with a Python"
      " that every user may read"
    )


def _set_limits(limits: dict[str, int]) -> None:
  for name, limit in (
    ("RLIMIT_AS", limits["memory_bytes"]),
    ("RLIMIT_CPU", limits["cpu_seconds"]),
    ("RLIMIT_FSIZE", limits["file_bytes"]),
    ("RLIMIT_NPROC", limits["num_processes"]),
    ("RLIMIT_NOFILE", limits["num_files"]),
    ("RLIMIT_CORE", 0),
  ):
    kind = getattr(resource, name)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
      limit = min(limit, hard)
    resource.setrlimit(kind, (limit, limit))


def _hide(fd: int) -> int:
  """Moves a descriptor to a random number; one of /dev/null takes its place."""
  hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
  most = 2**16 if hard == resource.RLIM_INFINITY else min(hard, 2**16)
  resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
  lowest = most // 4 + secrets.randbelow(most // 2)
  hidden = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, lowest)
  null = os.open(os.devnull, os.O_RDWR)
  os.dup2(null, fd)
  os.close(null)
  return hidden


def _run(requests: int, results: int) -> None:
  """Runs the program and then its tests; never returns."""
  # Taken now: the program may put others in their place.
  end, execute, load, write = os._exit, exec, json.loads, os.write
  read = read_message
  sys.argv[1:] = []
  module = types.ModuleType("program")
  sys.modules["program"] = module
  write(results, b"ready\n")
  try:
    source = compile(
      load(read(requests)), "program.py", "exec", dont_inherit=True
    )
    execute(source, module.__dict__)
    # Only now are the tests read: the program's own lines have not seen them.
    tests = load(read(requests))
  except BaseException:
    end(0)
  for test, token in tests:
    try:
      execute(test, module.__dict__)
    except BaseException:
      continue
    write(results, token.encode() + b"\n")
  end(0)


def _supervise(child: int, seconds: int) -> None:
  """Waits, as the first process of its namespace, for its child; never returns.

  Its end, which the program cannot bring about, is the end of all processes of
  the namespace. Should nobody be left to end it, it does so itself.
  """
  signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
  signal.alarm(seconds)
  while os.wait()[0] != child:
    continue
  os._exit(0)


def _fork_into_namespace(seconds: int, fds: tuple[int, ...]) -> None:
  """Returns in a process of the new process namespace, and in no other."""
  child = os.fork()
  if child:
    for fd in fds:
      os.close(fd)
    os.waitpid(child, 0)
    os._exit(0)
  _call("prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
  child = os.fork()
  if child:
    for fd in fds:
      os.close(fd)
    _supervise(child, seconds)


def main() -> None:
  """Runs a program as the arguments say; never returns."""
  limits = json.loads(sys.argv[1])
  requests, results = _hide(0), _hide(1)
  uid = _FIRST_UID + os.getpid() % _NUM_UIDS
  work = os.getcwd()
  try:
    if limits["isolated"]:
      _isolate(work, limits["work_bytes"])
      _fork_into_namespace(limits["lifetime_seconds"], (requests, results))
    elif os.geteuid() == 0:
      os.chown(work, uid, uid)
    _give_up_rights(uid)
    _set_limits(limits)
  except (Refusal, OSError, ValueError) as error:
    os.write(results, f"refused: {error}\n".encode())
    os._exit(1)
  _run(requests, results)


if __name__ == "__main__":
  main()
