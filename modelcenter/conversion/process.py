"""Conversions from the caller's side: the other process started, watched and judged; its work published.

Opens no pickle. In the end the destination holds all of a proved conversion, or what it held before.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelcenter.checkpoint.write import MAX_SHARD_BYTES, publish, sync
from modelcenter.conversion.report import ConversionReport, Limits, Progress
from modelcenter.conversion.sandbox import REFUSED
from modelcenter.errors import (
    CheckpointDamaged,
    CheckpointNotFound,
    CheckpointUnsafe,
    CheckpointUnsupported,
    ConversionDiffers,
    ConversionStopped,
    IndexContradiction,
    ModelCenterError,
    NothingToConvert,
)

MOST_ANSWER_BYTES = 64 << 20
SMALL = 64 << 20  # bytes that a conversion may always write
PROGRAM = "modelcenter.conversion.child"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
ENVIRONMENT = {"LC_ALL": "C.UTF-8", **dict.fromkeys(THREADS, "1")}

# The errors of the reading process, made anew from what it tells of them.
RAISED: Mapping[str, Callable[..., ModelCenterError]] = {
    "checkpoint-not-found": lambda place, looked_for, **_: CheckpointNotFound(place, looked_for),
    "checkpoint-damaged": lambda file, problem, **_: CheckpointDamaged(file, problem),
    "checkpoint-index": lambda file, problem, missing, unexpected, **_: IndexContradiction(
        file, problem, missing, unexpected
    ),
    "checkpoint-unsafe": lambda file, found, **_: CheckpointUnsafe(file, found),
    "checkpoint-unsupported": lambda file, found, instead, **_: CheckpointUnsupported(file, found, instead),
    "conversion-differs": lambda place, identical, differences, **_: ConversionDiffers(
        place, identical, differences
    ),
    "nothing-to-convert": lambda place, found, **_: NothingToConvert(place, found),
}


def to_safetensors(
    source: Path,
    destination: Path,
    *,
    companions: Collection[str] = (),
    modules: Collection[str] = (),
    max_shard_bytes: int = MAX_SHARD_BYTES,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Converts the pickled checkpoint in `source`, a folder or one file, and proves the result equal.

    destination: a folder, made where it is missing; it may be the source's own. It gets model.safetensors,
    or shards of at most `max_shard_bytes` with their index, and the `companions`: files of the source's
    folder to copy along. modules: folders within it whose pickles are converted as well. All appear when the
    proof is done, or nothing does. Tensors that share bytes are each written for themselves, as the format
    demands; entries that are no tensors are left out and named in the report.

    Raises CheckpointNotFound, -Damaged, -Unsafe, -Unsupported as reading does, NothingToConvert,
    ConversionStopped where the reading process came to its limits or died, ConversionDiffers.
    """
    source, destination = Path(source).absolute(), Path(destination).absolute()
    folder, only = (source.parent, source.name) if source.is_file() else (source, None)
    limits = limits or Limits()
    if not folder.is_dir():
        raise NotADirectoryError(20, "No such folder", str(folder))
    with _draft(destination) as draft:
        report = whole = _converted(folder, only, draft, max_shard_bytes, limits, progress)
        for module in modules:
            (draft / module).mkdir(parents=True)
            own = _converted(folder / module, None, draft / module, max_shard_bytes, limits, progress)
            whole = whole.joined(own, module)
        for name in companions:
            _copy(folder / name, draft / name)
        further = [name for name in whole.files if name not in report.files]
        _publish(draft, destination, (*companions, *further), report.files)
    return whole


def _converted(
    folder: Path,
    only: str | None,
    draft: Path,
    max_shard_bytes: int,
    limits: Limits,
    progress: Progress | None,
) -> ConversionReport:
    """The pickles of `folder`, or `only` that one, as safetensors in `draft`, which has nothing else then."""
    request = {
        "parent": os.getpid(),
        "source": str(folder),
        "only": only,
        "destination": str(draft),
        "max_bytes": limits.growth * _size(folder, only) + SMALL,
        "max_shard_bytes": max_shard_bytes,
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "open_files": limits.open_files,
    }
    report = _report(folder / only if only else folder, request, limits.seconds, progress)
    for leftover in draft.iterdir():
        if leftover.name not in report.files:
            leftover.unlink()
    return report


def _size(folder: Path, only: str | None) -> int:
    """Bytes of the files that may be pickles."""
    if only is not None:
        return (folder / only).stat().st_size
    return sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".bin", ".pt"))


# --- the files


@contextmanager
def _draft(destination: Path) -> Iterator[Path]:
    """A folder to write to, on the destination's file system; gone in the end, whatever happens."""
    mark = f"{secrets.token_hex(8)}.partial"
    if destination.is_dir():
        draft = destination / f".conversion-{mark}"
    else:
        destination.parent.mkdir(parents=True, exist_ok=True)
        draft = destination.parent / f".{destination.name}-{mark}"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy(original: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    with original.open("rb") as source, copy.open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())


def _publish(draft: Path, destination: Path, companions: Collection[str], files: tuple[str, ...]) -> None:
    """Gives the draft its name; in a folder that exists, each file, those that make it a checkpoint last."""
    if not destination.exists():
        draft.rename(destination)
        sync(destination.parent)
        return
    for name in companions:
        (destination / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(destination / name)
    publish(destination, {name: draft / name for name in files})


# --- the other process


def _report(
    source: Path, request: Mapping[str, Any], seconds: float, progress: Progress | None
) -> ConversionReport:
    """What the reading process reports. Raises the error that it tells, ConversionStopped for none."""
    words = b""  # what it said that is no answer: of the interpreter, or of the audit hook
    with _started(request) as process:
        for line in _lines(process, source, time.monotonic() + seconds, seconds):
            try:
                answer = json.loads(line)
            except ValueError:
                words = line or words
                continue
            if "stage" in answer and progress is not None:
                progress(answer["stage"], answer["done"], answer["total"])
            elif "error" in answer:
                raise _raised(source, answer["error"])
            elif "report" in answer:
                return ConversionReport.from_json(answer["report"])
        status = process.wait()
    raise ConversionStopped(source, _reason(status, words.decode(errors="replace"), request))


@contextmanager
def _started(request: Mapping[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """The reading process, in a session of its own, with nothing of our environment; dead in the end."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-m", PROGRAM, json.dumps(request)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        cwd=request["destination"],
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _lines(
    process: subprocess.Popen[bytes], source: Path, deadline: float, seconds: float
) -> Iterator[bytes]:
    """The lines of its answer as they come. Raises ConversionStopped for too many, and for too late ones."""
    assert process.stdout is not None
    rest, heard = b"", 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise ConversionStopped(source, f"it took more than {seconds:g} seconds")
            data = os.read(process.stdout.fileno(), 1 << 16)
            heard += len(data)
            if heard > MOST_ANSWER_BYTES:
                raise ConversionStopped(source, "the reading process said more than any report holds")
            *lines, rest = (rest + data).split(b"\n")
            yield from lines
            if not data:
                yield rest
                return


def _raised(source: Path, told: Mapping[str, Any]) -> ModelCenterError:
    """The error that the reading process told of."""
    make = RAISED.get(told["code"] or "")
    if make is not None:
        return make(**told["words"])
    if told["text"].startswith("MemoryError"):
        return ConversionStopped(source, "reading it took more memory than allowed")
    return ConversionStopped(source, f"reading it failed ({told['text'][:400]})")


def _reason(status: int, words: str, request: Mapping[str, Any]) -> str:
    if status == REFUSED:
        return f"the reading process tried what reading tensors never does ({words.strip()[:200]})"
    if status == -signal.SIGXCPU:
        return f"reading it took more than {request['cpu_seconds']} seconds of computing"
    if status < 0:
        return f"the reading process was killed by {signal.Signals(-status).name}"
    return f"the reading process ended with status {status} ({words.strip()[:400]})"
