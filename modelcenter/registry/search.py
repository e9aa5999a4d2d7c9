"""The catalogue's search: one row a model in the index, and a question answered in two statements.

Words are matched by the one analyser; both databases rank alike: an exact name, then words in the name,
then in the tags, then in the text. A word for what a model is must be in its name or tags; only where nothing
is found that way, it may be anywhere. Values of one facet are alternatives: each is counted as the list that
has it beside those already chosen.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    table,
    union,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.selectable import CTE

from modelcenter.registry import access, revisions
from modelcenter.registry.analysis import Alternative, Word, fold, terms, words
from modelcenter.registry.tables import Facet, Model, Repository

PER_PAGE = 30
IS_ID, IS_NAME, BEGINS = 1000, 500, 50  # the whole question is the model's id, its name, or how one begins
IN_NAME, IN_TAGS = 8, 3  # a word is in the name, else in the tags; in the text alone it only finds
MAX_PAGE_SIZE = 1000
MAX_VALUES = 100  # of one facet
NEAR = 20_000  # names compared for a near spelling


# Facet: the column of `hits` that has its value; None: in the table of facets, several to a model.
FACETS: dict[str, str | None] = {
    "task": "task",
    "language": None,
    "family": "family",
    "license": "license",
    "size": "size",
    "loads": "loads",
    "organization": "organization",
    "library": "library",
}
# A size's name and the number of parameters below which it ends.
SIZES: tuple[tuple[str, int | None], ...] = (
    ("<100M", 10**8), ("100M-1B", 10**9), ("1B-5B", 5 * 10**9), ("5B-20B", 2 * 10**10), (">20B", None),
)  # fmt: skip

_INDEX = table(
    "models_fts", column("rowid"), column("models_fts"), column("name"), column("tags"), column("text")
)
_INDEX_PG = table(
    "models_fts",
    column("repository_id"),
    column("name", postgresql.ARRAY(postgresql.TEXT())),
    column("tags", postgresql.ARRAY(postgresql.TEXT())),
    column("text", postgresql.ARRAY(postgresql.TEXT())),
    column("terms", postgresql.TSVECTOR()),
)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A question to the catalogue. Values of one facet are alternatives, facets narrow one another.

    text: words in Chinese, English or both. loads: `yes`, of hosted models with a complete verdict.
    size: names of SIZES. tags: all of these, as the index spells them (`license:mit`, `safetensors`, `zh`).
    sort: the empty one is relevance where there are words, else updated. in_id: a model is also found by any
    part of its id, as the Hub's protocol has it; each word must be one.
    """

    text: str = ""
    in_id: bool = False
    task: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    family: tuple[str, ...] = ()
    license: tuple[str, ...] = ()
    size: tuple[str, ...] = ()
    loads: tuple[str, ...] = ()
    organization: tuple[str, ...] = ()
    library: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    min_parameters: int | None = None
    max_parameters: int | None = None
    gated: bool | None = None
    sort: str = ""
    page: int = 1
    per_page: int = PER_PAGE
    counts: bool = True  # whether the facets are wanted

    def __post_init__(self) -> None:
        for name in (*FACETS, "tags"):
            value = getattr(self, name)
            if isinstance(value, str):
                value = (value,)
            object.__setattr__(self, name, tuple(value or ()))

    @property
    def chosen(self) -> dict[str, tuple[str, ...]]:
        """The facets with a selection."""
        return {name: values for name in FACETS if (values := getattr(self, name))}


@dataclass(frozen=True, slots=True)
class Row:
    """A model that was found."""

    repository: Repository
    model: Model | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of what was found, how much there is, and the facets: values with the size of their lists.

    The list of a value has what is chosen and this value too: it is `total` for one that is chosen.
    suggestion: a near spelling that finds something, where nothing was found. sort: the order of the rows.
    """

    rows: list[Row]
    total: int
    facets: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    sort: str = "updated"
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The words of a model: its names, its tags in all their spellings, and what is written about it."""

    repository_id: int
    name: tuple[str | None, ...]
    tags: tuple[str | None, ...]
    text: tuple[str | None, ...]


def index(session: Session, document: Document) -> None:
    """Puts a model's words into the index, in place of those that it had."""
    name, tags = terms(*document.name), terms(*document.tags)
    known = {*name, *tags}
    text = [term for term in terms(*document.text) if term not in known]
    if _is_sqlite(session):
        session.execute(delete(_INDEX).where(_INDEX.c.rowid == document.repository_id))
        values = {"rowid": document.repository_id, "name": name, "tags": tags, "text": text}
        session.execute(
            insert(_INDEX), {key: " ".join(v) if isinstance(v, list) else v for key, v in values.items()}
        )
        return
    row = {"repository_id": document.repository_id, "name": name, "tags": tags, "text": text}
    statement = postgresql.insert(_INDEX_PG).values(**row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["repository_id"], set_={key: row[key] for key in ("name", "tags", "text")}
        )
    )


def find(session: Session, query: Query, actor: access.Actor) -> Page:
    """The page of models that `actor` may see and `query` asks for: two statements, more for an empty one.

    A facet's value is counted as the list that choosing it too leads to: its models, and those of the values
    of the facet that are chosen, within what the other facets leave.
    """
    asked: Sequence[Word] = words(query.text)
    sort = _sort_of(query, asked)
    hits = _hits(session, query, asked, actor)
    chosen = _conditions(hits, query)
    rows, total = _rows(session, query, hits, and_(True, *chosen.values()), sort)
    wide = [word.widened() for word in asked]
    if not total and wide != list(asked) and session.scalar(select(hits.c.id).limit(1)) is None:
        asked = wide
        hits = _hits(session, query, asked, actor)
        chosen = _conditions(hits, query)
        rows, total = _rows(session, query, hits, and_(True, *chosen.values()), sort)
    facets = _facets(session, query, hits, chosen, total) if query.counts else {}
    suggestion = None
    if not total and asked and query.page == 1:
        suggestion = _suggestion(session, query, asked, actor)
    return Page(rows, total, facets, sort, suggestion)


def _sort_of(query: Query, asked: Sequence[Word]) -> str:
    sort = {"size": "parameters"}.get(query.sort, query.sort)
    if sort not in (
        "relevance",
        "updated",
        "created",
        "downloads",
        "likes",
        "parameters",
        "name",
        "trending",
    ):
        sort = "relevance" if asked else "updated"
    return "updated" if sort == "relevance" and not asked else sort


def _hits(session: Session, query: Query, asked: Sequence[Word], actor: access.Actor) -> CTE:
    """Every model that may be seen, stands and has the words, with what facets and orders need."""
    parameters = Model.parameters
    whens = [(parameters < limit, literal(name)) for name, limit in SIZES if limit is not None]
    size = case((parameters.is_(None), null()), *whens, else_=literal(SIZES[-1][0]))
    is_loaded = and_(Repository.status == "hosted", Model.verdict == "complete")
    loads = case((is_loaded, literal("yes")), else_=null())
    found = (
        select(
            Repository.id.label("id"),
            Model.pipeline_tag.label("task"),
            Model.family.label("family"),
            Model.license.label("license"),
            size.label("size"),
            loads.label("loads"),
            Repository.namespace.label("organization"),
            Model.library.label("library"),
            _score(session, query, asked).label("score"),
        )
        .select_from(Repository)
        .outerjoin(Model, Model.repository_id == Repository.id)
        .where(
            access.visible(actor),
            or_(access.owned(actor), Repository.id.not_in(revisions.all_withdrawn())),
        )
    )
    if query.text.strip():
        # Words, of which none may be one that could be looked for.
        matching = [_matching(session, asked)] if asked else []
        if asked and not _is_sqlite(session):  # for the score
            found = found.outerjoin(_INDEX_PG, _INDEX_PG.c.repository_id == Repository.id)
        if query.in_id:
            parts = (Repository.key.contains(part, autoescape=True) for part in query.text.lower().split())
            matching.append(select(Repository.id).where(*parts))
        found = found.where(Repository.id.in_(union(*matching)) if matching else literal(False))
    for tag in query.tags:
        found = found.where(_has(Repository.id, "tag", [tag]))
    if query.min_parameters is not None:
        found = found.where(parameters >= query.min_parameters)
    if query.max_parameters is not None:
        found = found.where(parameters <= query.max_parameters)
    if query.gated is not None:
        found = found.where(Repository.gated.is_not(None) if query.gated else Repository.gated.is_(None))
    return found.cte()


def _conditions(hits: CTE, query: Query) -> dict[str, ColumnElement[bool]]:
    """What each chosen facet asks of a hit."""
    found = {}
    for name, values in query.chosen.items():
        key = FACETS[name]
        if key is None:
            found[name] = _has(hits.c.id, name, values)
        elif name == "organization":
            found[name] = func.lower(hits.c[key]).in_([value.lower() for value in values])
        else:
            found[name] = hits.c[key].in_(values)
    return found


def _has(
    repository_id: ColumnElement[int] | InstrumentedAttribute[int], facet: str, values: Iterable[str]
) -> ColumnElement[bool]:
    return repository_id.in_(
        select(Facet.repository_id).where(Facet.facet == facet, Facet.value.in_(list(values)))
    )


def _rows(
    session: Session, query: Query, hits: CTE, condition: ColumnElement[bool], sort: str
) -> tuple[list[Row], int]:
    per_page = min(max(query.per_page, 1), MAX_PAGE_SIZE)
    page = max(query.page, 1)
    order = _order(session, sort, hits)
    # Only ids are sorted: whole rows carry cards.
    chosen = (
        select(Repository.id.label("id"), func.row_number().over(order_by=order).label("place"))
        .join(hits, hits.c.id == Repository.id)
        .outerjoin(Model, Model.repository_id == Repository.id)
        .where(condition)
        .order_by(*order)
        .limit(per_page)
        .offset((page - 1) * per_page)
        .subquery()
    )
    counted = select(func.count()).select_from(hits).where(condition).scalar_subquery()
    statement = (
        select(Repository, Model, counted)
        .join(chosen, chosen.c.id == Repository.id)
        .outerjoin(Model, Model.repository_id == Repository.id)
        .order_by(chosen.c.place)
    )
    found = session.execute(statement).all()
    if found:
        return [Row(repository, model) for repository, model, _ in found], found[0][2]
    if page == 1:
        return [], 0
    return [], session.scalar(select(func.count()).select_from(hits).where(condition)) or 0


def _order(session: Session, sort: str, hits: CTE) -> list[ColumnElement[Any]]:
    # Code points, not the server's language: the same order on both databases.
    name: Any = Repository.key if _is_sqlite(session) else Repository.key.collate("C")
    ends: list[ColumnElement[Any]] = [Repository.downloads.desc(), Repository.likes.desc()]
    orders: dict[str, list[ColumnElement[Any]]] = {
        "relevance": [hits.c.score.desc(), *ends, func.length(Repository.name)],
        "updated": [Repository.updated_at.desc()],
        "created": [Repository.created_at.desc()],
        "downloads": ends,
        "likes": ends[::-1],
        "trending": ends,
        "parameters": [Model.parameters.desc().nulls_last()],
        "name": [],
    }
    return [*orders[sort], name]


def _facets(
    session: Session, query: Query, hits: CTE, chosen: dict[str, ColumnElement[bool]], total: int
) -> dict[str, list[tuple[str, int]]]:
    """All facets in one statement; what a value adds to its facet's selection, and the selection with it."""
    parts: list[Select[Any]] = []
    for name, key in FACETS.items():
        others = and_(True, *(condition for other, condition in chosen.items() if other != name))
        value: Any = Facet.value if key is None else hits.c[key]
        added = func.sum(case((chosen[name], 0), else_=1)) if name in chosen else func.count()
        part = select(
            literal(name).label("facet"),
            value.label("value"),
            func.count().label("count"),
            added.label("added"),
        )
        if key is None:
            part = part.select_from(hits).join(
                Facet, and_(Facet.repository_id == hits.c.id, Facet.facet == name)
            )
        else:
            part = part.select_from(hits).where(value.is_not(None))
        parts.append(part.where(others).group_by(value))
    found: dict[str, list[tuple[str, int, int]]] = {name: [] for name in FACETS}
    for facet, text, count, added in session.execute(union_all(*parts)):
        found[facet].append((text, count, int(added)))
    found["organization"] = _one_spelling(found["organization"])
    sizes = [name for name, _ in SIZES]
    facets = {}
    for name, values in found.items():
        is_chosen = {value.lower() for value in getattr(query, name)}
        # What is chosen first, so that it is never cut off; then by the number of models, chosen or not.
        values.sort(key=lambda found: (found[0].lower() not in is_chosen, -found[1], found[0]))
        base = total if name in chosen else 0
        facets[name] = [(value, base + added) for value, _, added in values[:MAX_VALUES]]
    facets["size"].sort(key=lambda pair: sizes.index(pair[0]))
    return facets


def _one_spelling(values: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Names that differ in case as one: spelled as most of their models are."""
    groups: dict[str, list[tuple[str, int, int]]] = {}
    for value in values:
        groups.setdefault(value[0].lower(), []).append(value)
    return [
        (
            min(group, key=lambda value: (-value[1], value[0]))[0],
            sum(count for _, count, _ in group),
            sum(added for _, _, added in group),
        )
        for group in groups.values()
    ]


def _matching(session: Session, asked: Sequence[Word]) -> Select[Any]:
    """The ids of the models that have all the words, where they tell what a model is."""
    if _is_sqlite(session):
        parts = (
            f"{{name tags}} : {_sqlite_word(word)}" if word.is_property else _sqlite_word(word)
            for word in asked
        )
        return _sqlite_matches(" AND ".join(f"({part})" for part in parts))
    index = _INDEX_PG
    found = select(index.c.repository_id).where(_at(index.c.terms, " & ".join(map(_postgresql_word, asked))))
    if properties := [word for word in asked if word.is_property]:
        told = func.array_to_tsvector(func.array_cat(index.c.name, index.c.tags))
        found = found.where(_at(told, " & ".join(map(_postgresql_word, properties))))
    return found


def _score(session: Session, query: Query, asked: Sequence[Word]) -> ColumnElement[int]:
    """How well a model answers: words in its name and tags, and above all its name as it was asked for."""
    score: ColumnElement[int] = literal(0)
    if not asked:
        return score
    for word in asked:
        if _is_sqlite(session):
            text = _sqlite_word(word)
            in_name: ColumnElement[bool] = Repository.id.in_(_sqlite_matches(f"name : {text}"))
            in_tags: ColumnElement[bool] = Repository.id.in_(_sqlite_matches(f"tags : {text}"))
        else:
            text = _postgresql_word(word)
            in_name = _at(func.array_to_tsvector(_INDEX_PG.c.name), text)
            in_tags = _at(func.array_to_tsvector(_INDEX_PG.c.tags), text)
        score = score + case((in_name, IN_NAME), (in_tags, IN_TAGS), else_=0)
    name = re.sub(r"[-._\s]", "", fold(query.text))
    key: Any = Repository.key
    for character in "-._":
        key = func.replace(key, character, "")
    if name:
        score = score + case(
            (key == name, IS_ID),
            (key.endswith(f"/{name}", autoescape=True), IS_NAME),
            (or_(key.startswith(name, autoescape=True), key.contains(f"/{name}", autoescape=True)), BEGINS),
            else_=0,
        )
    return score


def _sqlite_matches(expression: str) -> Select[Any]:
    return select(_INDEX.c.rowid).where(_INDEX.c.models_fts.op("MATCH")(expression))


def _sqlite_word(word: Word) -> str:
    def alternative(atoms: Alternative) -> str:
        return " AND ".join(f'"{atom.term}"{" *" if atom.is_prefix else ""}' for atom in atoms)

    return "(" + " OR ".join(f"({alternative(atoms)})" for atoms in word.alternatives) + ")"


def _postgresql_word(word: Word) -> str:
    def alternative(atoms: Alternative) -> str:
        return " & ".join(f"'{atom.term}'{':*' if atom.is_prefix else ''}" for atom in atoms)

    return "(" + " | ".join(f"({alternative(atoms)})" for atoms in word.alternatives) + ")"


def _at(vector: ColumnElement[Any], query: str) -> ColumnElement[bool]:
    return vector.op("@@", is_comparison=True)(cast(query, postgresql.TSQUERY()))


def _suggestion(session: Session, query: Query, asked: Sequence[Word], actor: access.Actor) -> str | None:
    """The question with near names for unknown words, else with those of its words that find something."""
    visible = select(Repository.key).where(access.visible(actor))
    keys = session.scalars(visible.order_by(Repository.downloads.desc(), Repository.id).limit(NEAR))
    known = {term for key in keys for term in terms(key) if len(term) > 2 and term[0].isalnum()}
    near = [word.text if word.text in known else _near(word.text, known) for word in asked]
    if near != [word.text for word in asked] and _finds(session, query, " ".join(near), actor):
        return " ".join(near)
    if len(asked) < 2:
        return None
    alone = [_hits(session, replace(query, text=word.text), [word], actor) for word in asked]
    totals = (select(func.count()).select_from(hits).scalar_subquery() for hits in alone)
    counts = session.execute(select(*totals)).one()
    found = " ".join(word.text for word, count in zip(asked, counts, strict=True) if count)
    return found if found and _finds(session, query, found, actor) else None


def _near(word: str, known: Iterable[str]) -> str:
    return next(iter(difflib.get_close_matches(word, known, 1, 0.7)), word)


def _finds(session: Session, query: Query, text: str, actor: access.Actor) -> bool:
    hits = _hits(session, replace(query, text=text), words(text), actor)
    return session.scalar(select(hits.c.id).limit(1)) is not None


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"
