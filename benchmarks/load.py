"""How long a checkpoint takes to become a model, and what memory: ours, the peers, the limits, in one run.

Every sample is a process of its own; the loaders are interleaved (A B C, C B A, …), the files warm in the
page cache. Ready means that one byte of every page of every parameter was read. Three clocks: from the start
of the process, from the first load with all imports done, and a second load in the same process. Private
memory and bytes read are measured in processes that are not timed: the peak of RssAnon above what the imports
took, sampled; and what a cold file gives up. Before the clocks of loads each process touches and frees as
much memory as its load needs: a virtual machine's host takes back what is long free, and finding it again
would cost each loader according to what ran before it.

Two limits stand beside the loaders: touching the bare memory map of the files, which copies nothing; and two
threads that copy as many bytes as the result has into fresh huge pages. Ratios of one run compare; figures of
two machines, or of one at two times, do not.

    python benchmarks/load.py                          # everything, 7 samples each: about half an hour
    python benchmarks/load.py --only llama --repeats 3
    python benchmarks/load.py --scale 8 --repeats 1    # models of an eighth of the layers: does it run?

The peers fastsafetensors and runai-model-streamer are measured where they are installed:
pip install -c constraints.txt -e ".[bench]"
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Sample = dict[str, float]
THREADS = 2
CLOCKS = ("start", "first", "second")
TIMED_OUT = 600  # seconds
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(THREADS)}


@dataclass(frozen=True)
class Model:
    """A checkpoint to be measured: a configuration of transformers with random weights.

    layers: the settings that `--scale` divides.
    """

    name: str
    configuration: str
    classes: str
    layers: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)


LLAMA = Model(
    "Llama-type 1.1B", "LlamaConfig", "LlamaForCausalLM", ("num_hidden_layers",),
    {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32,
     "num_key_value_heads": 4, "vocab_size": 32000},
)  # fmt: skip
BERT = Model(
    "BERT-large", "BertConfig", "BertForMaskedLM", ("num_hidden_layers",),
    {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16},
)  # fmt: skip
T5 = Model(
    "T5-large", "T5Config", "T5ForConditionalGeneration", ("num_layers", "num_decoder_layers"),
    {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_decoder_layers": 24, "num_heads": 16, "d_kv": 64},
)  # fmt: skip
GPT2 = Model(
    "GPT-2 medium", "GPT2Config", "GPT2LMHeadModel", ("n_layer",),
    {"n_embd": 1024, "n_layer": 24, "n_head": 16},
)  # fmt: skip
MIXTRAL = Model(
    "Mixtral-type 1.2B, 8 experts", "MixtralConfig", "MixtralForCausalLM", ("num_hidden_layers",),
    {"hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 12, "num_attention_heads": 16,
     "num_key_value_heads": 4, "vocab_size": 32000, "num_local_experts": 8},
)  # fmt: skip
# Model, dtype stored, dtype wanted.
CASES: dict[str, list[tuple[Model, str, str]]] = {
    "llama": [
        (LLAMA, "bfloat16", "bfloat16"),
        (LLAMA, "bfloat16", "float16"),
        (LLAMA, "float32", "float16"),
    ],
    "bert": [(BERT, "float32", "float16")],
    "t5": [(T5, "float32", "bfloat16")],
    "gpt2": [(GPT2, "float32", "float16")],
    "moe": [(MIXTRAL, "bfloat16", "float16")],
}

# Each defines once() -> the tensors of a loaded model. PREPARE runs before any clock.
OURS = """
from modelcenter import load
def once():
    return load(folder, dtype=wanted, {options}).parameters()
"""
TRANSFORMERS = """
import transformers
kind = getattr(transformers, classes)
def once():
    return kind.from_pretrained(folder, dtype=getattr(torch, wanted)).parameters()
"""
SAFETENSORS = """
from safetensors.torch import load_file
def once():
    return [t.to(getattr(torch, wanted)) for name in files for t in load_file(name).values()]
"""
FASTSAFETENSORS = """
from fastsafetensors import SafeTensorsFileLoader, SingleGroup
def once():
    loader = SafeTensorsFileLoader(SingleGroup(), "cpu", nogds=True)
    loader.add_filenames({0: files})
    buffers = loader.copy_files_to_device()
    names = buffers.key_to_rank_lidx
    made = [buffers.get_tensor(name).to(getattr(torch, wanted), copy=True) for name in names]
    buffers.close()
    loader.close()
    return made
"""
RUNAI = """
from runai_model_streamer import SafetensorsStreamer
def once():
    with SafetensorsStreamer() as streamer:
        streamer.stream_files(files)
        return [tensor.to(getattr(torch, wanted), copy=True) for _, tensor in streamer.get_tensors()]
"""
BARE = """
import mmap
def once():
    made = []
    for name in files:
        with open(name, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
        made.append(torch.frombuffer(mapped, dtype=torch.uint8))
    return made
"""
LIMIT = """
import mmap
from concurrent.futures import ThreadPoolExecutor
source = torch.ones(target, dtype=torch.uint8)
def once():
    memory = mmap.mmap(-1, target + (4 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    start = -torch.frombuffer(memory, dtype=torch.uint8).data_ptr() % (2 << 20)
    made = torch.frombuffer(memory, dtype=torch.uint8, offset=start, count=target)
    def alone():
        torch.get_num_threads()
        torch.set_num_threads(1)
    with ThreadPoolExecutor(2, initializer=alone) as pool:
        list(pool.map(lambda part: part[0].copy_(part[1]), zip(made.split(4 << 20), source.split(4 << 20))))
    return [made]
"""
# {loader: its code}; what begins with "limit" has no second load worth telling.
LOADERS: dict[str, str] = {
    "modelcenter": OURS.format(options=""),
    "modelcenter, fuse=False": OURS.format(options="fuse=False"),
    "modelcenter, prepared": OURS.format(options="prepared=True"),
    "transformers": TRANSFORMERS,
    "safetensors, cast": SAFETENSORS,
    "fastsafetensors": FASTSAFETENSORS,
    "runai-model-streamer": RUNAI,
    "limit: bare map": BARE,
    "limit: copied into huge pages": LIMIT,
}
ALWAYS = ("transformers", "limit: bare map", "limit: copied into huge pages")  # what ratios are told of
PACKAGES = {"fastsafetensors": "fastsafetensors", "runai-model-streamer": "runai_model_streamer"}

HEAD = """
import json, os, sys, time, warnings
warnings.simplefilter("ignore")
started, folder, wanted, classes, target, warm_imports = json.loads(sys.argv[1])
files = sorted(os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".safetensors"))
import torch
torch.set_num_threads(2)
"""
TAIL = """
def touch(tensors):
    for t in tensors:
        t = t.detach()
        t = t if t.is_contiguous() else t.t() if t.t().is_contiguous() else t.contiguous()
        t.view(-1).view(torch.uint8)[::4096].sum()
def back_memory():
    import mmap
    memory = mmap.mmap(-1, target + (64 << 20), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    torch.frombuffer(memory, dtype=torch.uint8)[::4096].fill_(1)
    memory.close()
if warm_imports is not None:
    exec(warm_imports)
if warm_imports is not None and not os.environ.get("ONE_LOAD"):
    back_memory()
print("imported", flush=True)
times = []
for _ in range(2):
    before = time.time()
    model = once()
    made = list(model)
    touch(made)
    times.append(time.time() - before)
    if len(times) == 1:
        first_ready = time.time() - started
        if os.environ.get("ONE_LOAD"):
            print("ready", flush=True)
            sys.stdin.readline()
            break
    del model, made
print(json.dumps({"start": first_ready, "first": times[0], "second": times[-1]}))
"""
# What the first load would import: a load of a tiny model of the same kind.
IMPORTS = {
    "modelcenter": "import tempfile\nload({tiny!r}, dtype=wanted)",
    "transformers": "kind.from_pretrained({tiny!r})",
}


def main() -> None:
    """Print the tables as Markdown, with a plot where one is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", choices=[*CASES], action="append", help="some of the models")
    parser.add_argument("--loader", choices=[*LOADERS], action="append", help="some of the loaders")
    parser.add_argument("--scale", type=int, default=1, help="divide the layers by this")
    parser.add_argument("--folder", type=Path, help="where checkpoints are kept for the next run")
    parser.add_argument("--json", type=Path, help="write the medians there")
    parser.add_argument("--plot", type=Path, help="draw them there, as SVG")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as place:
        for name in options.only or CASES:
            for model, stored, wanted in CASES[name]:
                folder = checkpoint(options.folder or Path(place), model, stored, options.scale)
                title = f"{model.name}, {stored} → {wanted}"
                results[title] = measured(title, model, folder, wanted, options)
                if options.json:
                    options.json.write_text(json.dumps(results, indent=2))
    if options.plot:
        options.plot.write_text(drawn(results), "utf-8")


def measured(
    title: str, model: Model, folder: Path, wanted: str, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Runs one case and prints its table; {loader: medians}."""
    asked = [*options.loader, *ALWAYS] if options.loader else [*LOADERS]
    loaders = [
        name
        for name in LOADERS
        if name in asked and (name not in PACKAGES or importlib.util.find_spec(PACKAGES[name]))
    ]
    samples: dict[str, list[Sample]] = {loader: [] for loader in loaders}
    tiny = checkpoint(folder.parent, model, "float32", 0)
    job = Job(model, folder, tiny, wanted)
    memory = {loader: job.memory(loader) for loader in loaders}  # first: the forms are prepared by then
    for number in range(options.repeats):
        for loader in loaders if number % 2 == 0 else loaders[::-1]:
            samples[loader].append(job.sample(loader))
    medians = {
        loader: {clock: statistics.median(run[clock] for run in runs) for clock in CLOCKS} | memory[loader]
        for loader, runs in samples.items()
    }
    show(title, job, medians)
    return medians


@dataclass(frozen=True)
class Job:
    """One checkpoint to be loaded in one dtype."""

    model: Model
    folder: Path
    tiny: Path
    wanted: str

    @property
    def target(self) -> int:
        """The bytes of the result."""
        stored = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        return stored * 2 // (4 if "float32" in self.folder.name else 2)

    def start(self, loader: str, *, imports: bool, one_load: bool = False) -> subprocess.Popen[str]:
        """A fresh process that loads; with `imports` all of them are done before the clocks of loads."""
        kind = next((kind for kind in IMPORTS if loader.startswith(kind)), None)
        warm = (IMPORTS[kind].format(tiny=str(self.tiny)) if kind else "") if imports else None
        told = [time.time(), str(self.folder), self.wanted, self.model.classes, self.target, warm]
        return subprocess.Popen(
            [sys.executable, "-c", HEAD + LOADERS[loader] + TAIL, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT | ({"ONE_LOAD": "1"} if one_load else {}),
        )

    def sample(self, loader: str) -> Sample:
        """Two processes: one for the clock from its start, one for the others, with imports done."""
        whole, warm = (finished(self.start(loader, imports=imports)) for imports in (False, True))
        return {"start": whole["start"], "first": warm["first"], "second": warm["second"]}

    def memory(self, loader: str) -> Sample:
        """Private memory at the peak and bytes read from cold files, in MB, of one load."""
        for path in self.folder.glob("*.safetensors"):
            forget(path)
        process = self.start(loader, imports=True, one_load=True)
        assert process.stdout
        out, told = process.stdout.fileno(), b""
        before = peak = read = 0
        while b"ready" not in told:
            if select.select([out], [], [], 0.002)[0]:
                chunk = os.read(out, 4096)
                if not chunk:
                    raise SystemExit(f"{loader}: {process.communicate()[1]}")
                told += chunk
            if b"imported" in told and not before:
                before, read = private(process.pid), bytes_read(process.pid)
            peak = max(peak, private(process.pid))
        read = bytes_read(process.pid) - read
        process.communicate("\n", timeout=TIMED_OUT)
        return {"private": (peak - before) / 1e6, "read": read / 1e6, "target": self.target / 1e6}


def finished(process: subprocess.Popen[str]) -> Sample:
    """What a process that loads tells at its end."""
    out, error = process.communicate(timeout=TIMED_OUT)
    if process.returncode:
        raise SystemExit(error)
    told: Sample = json.loads(out.splitlines()[-1])
    return told


def private(pid: int) -> int:
    """Bytes of memory that are the process's own."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def bytes_read(pid: int) -> int:
    """Bytes that the process has had read from storage, through mappings too."""
    return int(Path(f"/proc/{pid}/io").read_text().split("read_bytes: ")[1].split()[0])


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def checkpoint(place: Path, model: Model, stored: str, scale: int) -> Path:
    """The folder of a random checkpoint, made where it is missing. scale 0: of one small layer."""
    folder = place / f"{model.classes}-{stored}-{scale}"
    if (folder / "model.safetensors").is_file():
        return folder
    import torch
    import transformers

    settings = dict(model.settings)
    for name in model.layers:
        settings[name] = max(1, settings[name] // scale) if scale else 1
    dtype = getattr(torch, stored)
    config = getattr(transformers, model.configuration)(**settings, dtype=dtype)
    with torch.device("meta"):
        made = getattr(transformers, model.classes)(config)
    made = made.to_empty(device="cpu").to(dtype)
    made.tie_weights()
    values = (torch.randn(1 << 24, generator=torch.Generator().manual_seed(0)) * 0.02).to(dtype)
    for parameter in made.parameters():
        for part in parameter.data.view(-1).split(len(values)):
            part.copy_(values[: len(part)])
    made.save_pretrained(folder, max_shard_size="100GB")
    return folder


def show(title: str, job: Job, medians: dict[str, Sample]) -> None:
    """The case's table, as Markdown."""
    peer, bare, limit = (
        medians[n] for n in ("transformers", "limit: bare map", "limit: copied into huge pages")
    )
    print(f"\n### {title} ({job.target / 1e6:.0f} MB in memory)\n")
    print(
        "| loader | process start to ready | first load | second load | of the bare map | of the limit "
        "| private, × result | read cold, MB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for loader, found in medians.items():
        cells = [f"{found[c]:.2f} s ({peer[c] / found[c]:.1f} ×)" for c in CLOCKS]
        cells += [f"{found['first'] / bare['first']:.2f}", f"{found['first'] / limit['first']:.2f}"]
        cells += [f"{found['private'] / found['target']:.2f}", f"{found['read']:.0f}"]
        print(f"| {loader} | {' | '.join(cells)} |", flush=True)


def drawn(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A plot of the first loads, a bar a loader, as SVG."""
    rows: list[tuple[str, float | None]] = []
    for title, medians in results.items():
        rows.append((title, None))
        rows.extend((loader, found["first"]) for loader, found in medians.items())
    longest = max(seconds for _, seconds in rows if seconds is not None)
    height = 22 * len(rows) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-size="13"',
        ' font-family="sans-serif">',
        f'<rect width="800" height="{height}" fill="white"/>',
    ]
    for number, (name, seconds) in enumerate(rows):
        y = 20 + 22 * number
        if seconds is None:
            parts.append(f'<text x="10" y="{y + 4}" font-weight="bold">{name}</text>')
            continue
        colour = "#c0392b" if name.startswith("modelcenter") else "#95a5a6" if "limit" in name else "#2c6fbb"
        width = 480 * seconds / longest
        parts.append(f'<text x="225" y="{y + 4}" text-anchor="end">{name}</text>')
        parts.append(f'<rect x="235" y="{y - 9}" width="{max(width, 1):.1f}" height="16" fill="{colour}"/>')
        parts.append(f'<text x="{241 + width:.1f}" y="{y + 4}">{seconds:.2f} s</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    main()
