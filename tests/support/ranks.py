"""Several ranks on this machine: one process each, gloo over loopback, all jobs in one process group.

    run(2, folder, [Job("llama", path, asked=…)])  ->  {job: [what rank 0 found, what rank 1 found]}

As a program (`python -m tests.support.ranks FOLDER RANK WORLD`) it is one rank.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

TIMEOUT_SECONDS = 280


@dataclass
class Job:
    """A checkpoint to load over the ranks, and what to ask it."""

    name: str
    folder: str
    fuse: bool = True
    dtype: str | None = None
    asked: dict[str, torch.Tensor] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)


def run(world: int, place: Path, jobs: Sequence[Job]) -> dict[str, list[dict[str, Any]]]:
    """What each rank found for each job. Fails with a rank's own words where one failed."""
    place.mkdir(parents=True)
    torch.save([vars(job) for job in jobs], place / "jobs.pt")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "PYTHONWARNINGS": "ignore",
    }
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.ranks", str(place), str(rank), str(world)],
            env=environment, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    try:
        said = [process.communicate(timeout=TIMEOUT_SECONDS)[1] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
            process.wait()
    assert [process.returncode for process in ranks] == [0] * world, "\n".join(said)
    found = [torch.load(place / f"found-{rank}.pt") for rank in range(world)]
    return {job.name: [rank[job.name] for rank in found] for job in jobs}


def work(place: Path, rank: int, world: int) -> None:
    """One rank: every job after the other."""
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh

    torch.set_num_threads(1)
    # A file as the meeting place: no port to choose, none to collide.
    dist.init_process_group("gloo", init_method=f"file://{place / 'meeting'}", rank=rank, world_size=world)
    mesh = init_device_mesh("cpu", (world,), mesh_dim_names=("tp",))
    found = {values["name"]: attempt(Job(**values), mesh) for values in torch.load(place / "jobs.pt")}
    torch.save(found, place / f"found-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def attempt(job: Job, mesh: Any) -> dict[str, Any]:
    """What loading and asking found, or the error that refused."""
    from torch.distributed.tensor import DTensor

    from modelcenter import load, save
    from modelcenter.errors import ModelCenterError

    try:
        model = load(job.folder, mesh=mesh, fuse=job.fuse, dtype=job.dtype)
    except ModelCenterError as error:
        return {"error": type(error).__name__, "sentence": str(error)}
    parameters: dict[str, Any] = dict(model.named_parameters())
    with torch.no_grad():
        out = model(**job.asked)
    found = {
        "distributed": {name: isinstance(p, DTensor) for name, p in parameters.items()},
        "local": {name: tuple(p.to_local().shape) for name, p in parameters.items()},
        "shapes": {name: tuple(p.shape) for name, p in parameters.items()},
        "full": {name: p.full_tensor() for name, p in parameters.items()},
        "logits": out.logits,
        "last_hidden_state": out.last_hidden_state,
        "bytes_read": model.report.bytes_read,
        "buffers": [name for name, _ in model.named_buffers()],
    }
    if job.prompt:
        found["text"] = model.generate(**job.prompt, max_new_tokens=6, eos_token_id=None)
    try:
        save(model, job.folder + "-saved")
    except ModelCenterError as error:
        found["save"] = str(error)
    return found


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
