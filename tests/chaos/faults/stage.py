"""What has to stand before the members are started, so that some faults can strike later: clocks that can be set, disks that can be
filled, a bound on open files. Only what the chosen faults need is made.

- **Clocks**: each member runs under libfaketime (`LD_PRELOAD`), which adds to its wall clock what a file of its own says, read at every look
  (`FAKETIME_NO_CACHE`), so a jump is seen at once. The monotonic clock is left alone, as a clock that is set leaves it alone.
- **Disks**: each member's folder is a small ext4 of its own over a file, mounted by loop, so that a full disk is the kernel's own: names,
  blocks and half-written data run out as they do in the world. Writes are synced through both file systems.
- **Files**: each member is started by `prlimit`, so that it has fewer descriptors than clients can open.

What this machine does not allow is said by `missing_*`, and the fault is left out by whoever asks.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

FAKETIME = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/local/lib/faketime/libfaketimeMT.so.1")
DISK_BYTES = 1536 << 20  # three snapshots of an hour's storm; the file behind it has only what was written
MAX_FILES = 4096
TOOL_SECONDS = 20.0
CLONE_NEWNS = 0x0002_0000  # linux/sched.h
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18  # linux/mount.h


@dataclass
class Stage:
    """What was made for the members, by their ids."""

    clocks: dict[str, Path] = field(default_factory=dict)  # files that say what is added to a wall clock
    disks: dict[str, Path] = field(default_factory=dict)  # mount points
    under: tuple[str, ...] = ()  # the command that members are started by
    faketime: str = ""

    def environment_of(self, member: str) -> Mapping[str, str]:
        """Variables of that member's process."""
        if member not in self.clocks:
            return {}
        return {
            "LD_PRELOAD": self.faketime,
            "FAKETIME_TIMESTAMP_FILE": str(self.clocks[member]),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Without it 0.9.10 breaks pthread_cond_timedwait by the monotonic clock, by which Python's threads take turns.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",  # times of files are nobody's business here, and each would cost a look
        }

    def set_clock(self, member: str, ahead_seconds: float) -> None:
        """From now on that member's wall clock shows so much more than the machine's."""
        path = self.clocks[member]
        new = path.with_suffix(".new")
        new.write_text(f"{ahead_seconds:+.3f}\n", encoding="ascii")
        new.replace(path)  # whoever looks meanwhile sees the old time or the new one


def keep_mounts_to_ourselves() -> None:
    """Mounts of this process and its children are seen by them alone from now on, and end with the last of them, however it ends.

    To be called before there are threads. Where it is not allowed, disks are unmounted by hand all the same, unless the storm is killed.
    """
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWNS) == 0:
        libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)


@contextmanager
def staged(folder: Path, members: list[str], *, clocks: bool, disks: bool, files: bool) -> Iterator[Stage]:
    """Make what is asked for below `folder`, where the cluster will live; all of it is gone afterwards."""
    stage = Stage()
    with ExitStack() as stack:
        if clocks:
            stage.faketime = str(_faketime())
            for member in members:
                stage.clocks[member] = folder / f"{member}.clock"
                stage.set_clock(member, 0.0)
        if disks:
            for member in members:
                stage.disks[member] = stack.enter_context(_small_disk(folder, member))
        if files:
            stage.under = ("prlimit", f"--nofile={MAX_FILES}:{MAX_FILES}")
        yield stage


@contextmanager
def _small_disk(folder: Path, member: str) -> Iterator[Path]:
    image, at = folder / f"{member}.disk", folder / "data" / member
    at.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(DISK_BYTES)
    _tool(
        "mkfs.ext4", "-q", "-m", "0", str(image)
    )  # no blocks kept back for root, as whom the members may run
    _tool("mount", "-o", "loop", str(image), str(at))
    try:
        (at / "lost+found").rmdir()
        yield at
    finally:
        _tool("umount", "--lazy", str(at))
        image.unlink()


def _tool(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=TOOL_SECONDS)


def _faketime() -> Path | None:
    found = (path for pattern in FAKETIME for path in sorted(Path("/").glob(pattern[1:])))
    return next(found, None)


# What this machine lacks: "" when nothing.


@functools.cache
def missing_clocks() -> str:
    """Whether wall clocks can be set."""
    return "" if _faketime() else "there is no libfaketime (on Debian and Ubuntu: apt install libfaketime)"


@functools.cache
def missing_disks() -> str:
    """Whether small file systems can be made and mounted: tried once."""
    if lacking := [name for name in ("mkfs.ext4", "mount", "umount") if shutil.which(name) is None]:
        return f"there is no {lacking[0]}"
    with tempfile.TemporaryDirectory(prefix="deskraft-chaos-") as folder:
        try:
            with _small_disk(Path(folder), "try"):
                return ""
        except (subprocess.SubprocessError, OSError) as error:
            said = getattr(error, "stderr", None) or str(error).encode()
            return f"no file system can be mounted here ({said.decode(errors='replace').strip()})"


@functools.cache
def missing_files() -> str:
    """Whether processes can be given fewer descriptors."""
    return "" if shutil.which("prlimit") else "there is no prlimit (of util-linux)"


@functools.cache
def missing_tracing() -> str:
    """Whether system calls of a running process can be made to fail: tried once."""
    if shutil.which("strace") is None:
        return "there is no strace (on Debian and Ubuntu: apt install strace)"
    with subprocess.Popen(["sleep", "0.5"]) as process:
        command = ["strace", "-qq", "-o", os.devnull, "-p", str(process.pid)]
        ended = subprocess.run(command, capture_output=True, check=False, timeout=TOOL_SECONDS)
    return ended.stderr.decode(errors="replace").strip() if ended.returncode else ""


@asynccontextmanager
async def traced(pid: int, calls: str, what: str) -> AsyncIterator[None]:
    """System calls of a process and all its threads are tampered with by strace meanwhile (`strace --inject`).

    The process may end meanwhile. When strace ends, however it does, the kernel lets the process go on untouched.
    """
    command = [
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        f"trace={calls}",
        "-e",
        f"inject={calls}:{what}",
        "-p",
        str(pid),
    ]
    tracer = await asyncio.create_subprocess_exec("strace", *command, stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + TOOL_SECONDS
        while not _is_traced(pid) and tracer.returncode is None:
            if time.monotonic() > give_up_at:
                raise TimeoutError(f"strace has not attached within {TOOL_SECONDS} s")
            await asyncio.sleep(0.01)
        yield
    finally:
        if tracer.returncode is None:
            with suppress(ProcessLookupError):  # the process, and so strace, has ended just now
                tracer.send_signal(signal.SIGTERM)
        await tracer.wait()


def _is_traced(pid: int) -> bool:
    """Whether every thread is traced."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return bool(threads) and all("TracerPid:\t0\n" not in (t / "status").read_text() for t in threads)
    except (FileNotFoundError, ProcessLookupError):
        return False  # a thread, or the process, has just ended
