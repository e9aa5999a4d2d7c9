"""A hub with models of every state, its pages through Flask's client and in a browser."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from safetensors.numpy import load_file, save
from sqlalchemy import event

from hub_web.app import create_app
from modelcenter.registry import repositories
from modelcenter.registry.handlers import HANDLERS
from modelcenter.registry.hub import Hub
from modelcenter.registry.jobs import Worker
from modelcenter.registry.seed import seed
from modelcenter.settings import Settings
from tests.support.catalogue import lasting_hub
from tests.support.registry import commit, person

LINKED = 40  # entries, more than a page

CARD = """---
license: apache-2.0
language: [zh, en]
pipeline_tag: text-generation
base_model: openbmb/entry-01
modelcenter:
  title: {en: Tiny encoder, zh: 小编码器}
---
# Tiny encoder

## 中文

一个用来演示的小编码器。公式 $E=mc^2$。<script>alert(1)</script><img src=x onerror=alert(1)>

### 用法

| 任务 | 分数 |
|---|---:|
| 分类 | 91.2 |

```python
print("你好")
```

## English

A tiny encoder to show <b title="<table onclick=alert(1)>">pages</b> with.
[A file](vocab.txt) and ![a picture](notes/loss.png).

[bad](javascript:alert(1))
"""

ENTRY = """---
license: {licence}
language: [{language}]
pipeline_tag: {task}
modelcenter:
  title: {{en: Entry {number}, zh: 中文对话模型 {number}}}
  upstream: openbmb/entry-{number}
  family: {family}
  model_type: {model_type}
  architecture: EntryForCausalLM
  parameters: {parameters}
  context_length: 4096
  num_layers: 40
  num_heads: 36
  num_kv_heads: 4
  paper: {{title: A paper, url: 'https://arxiv.org/abs/2404.06395', arxiv: '2404.06395'}}
---

## 中文

第 {number} 个条目，用于对话。

## English

Entry number {number}, for dialogue.
"""


def picture(width: int = 8, height: int = 4) -> bytes:
    """A small PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x20\x60\xa0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def cards(folder: Path) -> Path:
    """Cards of linked entries of several tasks, families, licences and sizes."""
    for number in range(1, LINKED + 1):
        place = folder / "openbmb" / f"entry-{number:02}"
        place.mkdir(parents=True)
        values = {
            "licence": "mit" if number % 2 else "apache-2.0",
            "language": "zh" if number % 4 else "en",
            "task": "translation" if number % 10 == 0 else "text-generation",
            "family": "minicpm" if number % 3 else "llama",
            "model_type": "hyena" if number % 3 else "llama",  # the former is none of ours
            "parameters": number * 10**9,
        }
        (place / "README.md").write_text(ENTRY.format(number=f"{number:02}", **values), "utf-8")
    return folder


def fill(hub: Hub, bert: Path, folder: Path) -> None:
    """Linked entries, and a hosted model in every state: tiny/complete, tiny/broken and so on."""
    seed(hub, cards(folder))
    root = person(hub, "root", is_admin=True, scope="admin")
    weights = (bert / "model.safetensors").read_bytes()
    config = (bert / "config.json").read_bytes()
    vocabulary = (bert / "vocab.txt").read_bytes()
    files = {"config.json": config, "vocab.txt": vocabulary, "README.md": CARD.encode()}

    def host(name: str, large: bytes | None, changed: dict[str, bytes], *, private: bool = False) -> None:
        repositories.create(hub, root, f"tiny/{name}", private=private)
        if large is not None:
            stored = {"model.safetensors": large}
            commit(
                hub, root, f"tiny/{name}", {**files, **changed}, large=stored, title="Upload the checkpoint"
            )

    notes = {
        "notes/loss.png": picture(),
        "notes/训练 说明.md": "# 训练说明\n\n先看数据。\n".encode(),
        "notes/raw": b"\0\1",
    }
    host("complete", weights, notes)
    tensors = load_file(bert / "model.safetensors")
    tensors["encoder.layer.1.attention.self.qeury.weight"] = tensors.pop(
        "encoder.layer.1.attention.self.query.weight"
    )
    tensors["encoder.layer.0.output.dense.weight"] = tensors["encoder.layer.0.output.dense.weight"].T.copy()
    rows = tensors["embeddings.word_embeddings.weight"]
    tensors["embeddings.word_embeddings.weight"] = np.concatenate((rows, rows[:3]))
    tensors["embeddings.position_ids"] = np.arange(len(tensors["embeddings.position_embeddings.weight"]))[
        ::-1
    ][None].copy()
    host(
        "broken",
        save(tensors, metadata={"format": "pt"}),
        {"README.md": b"# Broken\n\nA checkpoint that does not load.\n"},
    )
    host("damaged", weights[:-100], {})
    host(
        "unknown",
        weights,
        {"config.json": json.dumps({"model_type": "hyena", "architectures": ["Hyena"]}).encode()},
    )
    host("empty", None, {})
    host("secret", weights, {}, private=True)
    with hub.database.transaction() as session:
        repositories.create_branch(session, root, "tiny/complete", "feature/试验")
        repositories.create_tag(session, root, "tiny/complete", "v1.0")
    Worker(hub, HANDLERS).run_all()
    host("pending", weights, {})


@pytest.fixture(scope="session")
def settings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kept_bert: Path
) -> Iterator[Settings]:
    """The settings of the hub that all tests here read, and none writes to."""
    folder = tmp_path_factory.mktemp("catalogue")
    (folder / "data").mkdir()
    with lasting_hub(request, "sqlite", folder / "data") as hub:
        fill(hub, kept_bert, folder / "cards")
        yield hub.settings


@pytest.fixture(scope="session")
def app(settings: Settings):
    """The application on that hub; a name that a template does not know is an error."""
    from jinja2 import StrictUndefined

    app = create_app(settings)
    app.jinja_env.undefined = StrictUndefined
    return app


@pytest.fixture
def client(app) -> FlaskClient:
    """Somebody without a language of their own."""
    return app.test_client()


@pytest.fixture
def page(client: FlaskClient) -> Callable[..., str]:
    """The text of the page at an address, in English unless told otherwise."""

    def get(address: str, language: str = "en", status: int = 200) -> str:
        answer = client.get(address, headers={"Accept-Language": language})
        assert answer.status_code == status, answer.text
        return answer.text

    return get


@pytest.fixture
def statements(app) -> Iterator[list[str]]:
    """The SQL that requests send."""
    found: list[str] = []

    def note(connection, cursor, statement, *rest) -> None:
        if not statement.startswith(("PRAGMA", "BEGIN")):
            found.append(statement)

    engine = app.extensions["modelcenter"].database.engine
    event.listen(engine, "before_cursor_execute", note)
    yield found
    event.remove(engine, "before_cursor_execute", note)
