"""How long a checkpoint takes to become a model: ours beside transformers and beside bare copying.

Every sample is a process of its own; the loaders are interleaved, the files warm in the page cache. Three
clocks: from process start, from the first load with imports done, and the second load in the same process.
Ready means that every page of every parameter was touched. Figures are ratios to transformers in the same
run: machines are noisy.

    python benchmarks/load.py --repeats 5 --layers 12 --hidden-size 768
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = """
import json, sys, time
started = float(sys.argv[1]); loader, folder, dtype = sys.argv[2:5]
import torch
torch.set_num_threads(2)
target = None if dtype == "own" else getattr(torch, dtype)
if loader.startswith("modelcenter"):
    from modelcenter import load
    import modelcenter.families.llama, modelcenter.models.build, modelcenter.tokenizers
    import modelcenter.weights.execute
    fuse = "fuse=False" not in loader
    def once(): return dict(load(folder, dtype=target, fuse=fuse).named_parameters())
elif loader == "transformers":
    from transformers import LlamaForCausalLM
    def once():
        return dict(LlamaForCausalLM.from_pretrained(folder, dtype=target or "auto").named_parameters())
else:
    from safetensors.torch import load_file
    def once():
        tensors = load_file(folder + "/model.safetensors")
        return {k: (v.clone() if target is None else v.to(target)) for k, v in tensors.items()}
def touched(parameters):
    for p in parameters.values():
        p.detach().view(torch.uint8).flatten()[::4096].sum()
times = []
for _ in range(2):
    before = time.time()
    model = once(); touched(model)
    times.append(time.time() - before)
    if len(times) == 1: ready = time.time() - started
    del model
peak = next(int(l.split()[1]) / 1024 for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(json.dumps({"start": ready, "first": times[0], "second": times[1], "rss": peak}))
"""
LOADERS = ("modelcenter", "modelcenter, fuse=False", "transformers", "safetensors, copied")


def checkpoint(folder: Path, layers: int, hidden_size: int) -> int:
    """A random Llama in bf16 in `folder`; how many bytes its weights have."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 8 // 3 // 128 * 128,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 64,
        num_key_value_heads=hidden_size // 192,
        vocab_size=32000,
        dtype="bfloat16",
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return (folder / "model.safetensors").stat().st_size


def sample(loader: str, folder: Path, dtype: str) -> dict[str, float]:
    """One fresh process."""
    command = [sys.executable, "-W", "ignore", "-c", SAMPLE, str(time.time()), loader, str(folder), dtype]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    measured: dict[str, float] = json.loads(out.splitlines()[-1])
    return measured


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--hidden-size", type=int, default=768)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = checkpoint(folder, options.layers, options.hidden_size)
        print(f"{size / 1e6:.0f} MB in bf16; medians of {options.repeats}; seconds (transformers = 1.00 ×)\n")
        print("| loader | to dtype | from process start | first load | second load | peak RSS, MB |")
        print("|---|---|---:|---:|---:|---:|")
        for dtype in ("own", "float16"):
            runs: dict[str, list[dict[str, float]]] = {loader: [] for loader in LOADERS}
            for i in range(options.repeats):
                for loader in LOADERS if i % 2 == 0 else LOADERS[::-1]:
                    runs[loader].append(sample(loader, folder, dtype))

            def median(loader: str, clock: str, runs: dict[str, list[dict[str, float]]] = runs) -> float:
                return statistics.median(run[clock] for run in runs[loader])

            for loader in LOADERS:
                cells = []
                for clock in ("start", "first", "second"):
                    ours, theirs = median(loader, clock), median("transformers", clock)
                    cells.append(f"{ours:.2f} ({theirs / ours:.2f} ×)")
                name = "bf16" if dtype == "own" else "fp16"
                print(
                    f"| {loader} | {name} | {' | '.join(cells)} | {median(loader, 'rss'):.0f} |", flush=True
                )


if __name__ == "__main__":
    main()
