"""What chunks would save on a series of fine-tunes: in the store, and for those who fetch each version.

A hub of its own takes a base checkpoint and fine-tunes of it from one client, by Xet. What the client had to
send is what a store of chunks would keep, packed, and, unpacked, what a download by Xet would fetch for a
client that has the versions before; the hub itself keeps whole files, and a plain download fetches one.

    python benchmarks/xet_savings.py --layers 8 --hidden-size 1024
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file

Tensors = dict[str, torch.Tensor]


def base(layers: int, hidden_size: int) -> Tensors:
    """A random model in bf16: embeddings, and layers of four square matrices and two of four times that."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * 0.02).bfloat16()

    tensors = {"embed": normal(8000, hidden_size)}
    for layer in range(layers):
        for name in ("q", "k", "v", "o"):
            tensors[f"layers.{layer:02}.{name}"] = normal(hidden_size, hidden_size)
        tensors[f"layers.{layer:02}.up"] = normal(4 * hidden_size, hidden_size)
        tensors[f"layers.{layer:02}.down"] = normal(hidden_size, 4 * hidden_size)
    return {**tensors, "head": normal(8000, hidden_size)}


def moved(tensors: Tensors, chosen: tuple[str, ...], share: float, seed: int) -> Tensors:
    """The tensors with those whose name has one of `chosen` in it changed by about `share` of their size."""
    generator = torch.Generator().manual_seed(seed)

    def changed(tensor: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(tensor.shape, generator=generator) * 0.02 * share
        return (tensor.float() + noise).bfloat16()

    return {
        name: changed(tensor) if any(part in name for part in chosen) else tensor
        for name, tensor in tensors.items()
    }


def series(layers: int, hidden_size: int) -> Iterator[tuple[str, Tensors]]:
    """The versions, each made from the base."""
    first = base(layers, hidden_size)
    last = tuple(f"layers.{layer:02}." for layer in range(layers - layers // 4, layers))
    yield "base", first
    yield "head alone", moved(first, ("head",), 0.1, 1)
    yield "last quarter of the layers", moved(first, (*last, "head"), 0.1, 2)
    yield "q and v of all layers (merged LoRA)", moved(first, (".q", ".v"), 0.1, 3)
    yield "all tensors, by 1 %", moved(first, ("",), 0.01, 4)
    yield "all tensors, by 0.01 %", moved(first, ("",), 0.0001, 5)
    yield "base with 64 more tokens", {**first, "embed": torch.cat([first["embed"], first["embed"][:64]])}


def hub(data: Path) -> tuple[subprocess.Popen[str], str, str]:
    """A running hub, its address, and a token of somebody who may write."""
    command = [sys.executable, "-m", "modelcenter.cli"]
    subprocess.run([*command, "admin", "create-user", "alice", "--data", str(data)], check=True, stdout=2)
    token = subprocess.run(
        [*command, "admin", "create-token", "alice", "--scope", "write", "--data", str(data)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    server = subprocess.Popen(
        [*command, "serve", "--data", str(data), "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    address = re.search(r"http://\S+", server.stdout.readline())
    found = re.search(r"mc_\w+", token)
    assert address and found
    return server, address[0], found[0]


def main() -> None:
    """Upload the series and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden-size", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["HF_HOME"] = str(folder / "home")
        import hf_xet
        from huggingface_hub import HfApi

        server, address, token = hub(folder / "data")
        try:
            HfApi(endpoint=address, token=token).create_repo("alice/series")
            session, whole, packed = hf_xet.XetSession(), 0, 0
            print("| version | file, MB | new chunks, MB | sent, MB | of the file | seconds |")
            print("|---|---:|---:|---:|---:|---:|")
            for name, tensors in series(options.layers, options.hidden_size):
                file = folder / "model.safetensors"
                save_file(tensors, file)
                began = time.monotonic()
                commit = session.new_upload_commit(
                    token_refresh_url=f"{address}/api/models/alice/series/xet-write-token/main",
                    token_refresh_headers={"Authorization": f"Bearer {token}"},
                )
                commit.start_upload_file(str(file), sha256=hf_xet.COMPUTE_SHA256)
                sent = commit.wait_to_finish().dedup_metrics
                seconds, size = time.monotonic() - began, file.stat().st_size
                whole, packed = whole + size, packed + sent.xorb_bytes_uploaded
                figures = [f"{count / 1e6:.1f}" for count in (size, sent.new_bytes, sent.xorb_bytes_uploaded)]
                share = sent.xorb_bytes_uploaded / size
                print("|", " | ".join([name, *figures, f"{share:.0%}", f"{seconds:.1f}"]), "|", flush=True)
            print(f"| together | {whole / 1e6:.1f} | | {packed / 1e6:.1f} | {packed / whole:.0%} | |")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
