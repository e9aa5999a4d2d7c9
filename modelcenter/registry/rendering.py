"""Markdown that anybody wrote, as HTML that our pages may show. Knows no repository, only how links resolve.

Two nets: markdown-it-py with what GitHub understands, then nh3 with a list of what may remain. Nothing that
survives needs inline style or script, so a strict Content-Security-Policy holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import pairwise
from posixpath import normpath
from urllib.parse import quote, unquote, urlsplit

import latex2mathml.converter
import nh3
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.anchors import anchors_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

MAX_MARKDOWN = 200_000  # characters rendered; the rest is in the file
MAX_CODE = 20_000  # characters of a block that is highlighted
MAX_FORMULA = 2_000
ID_PREFIX = "card-"  # keeps a card's anchors apart from the page's own
CODE_PREFIX = "hl-"  # of the classes of highlighted code

# Lexers that cards use. Not all of Pygments': some of the rare ones take quadratic time on hostile text.
LEXERS = {
    "python": "python", "py": "python", "python3": "python", "pycon": "pycon", "bash": "bash", "sh": "bash",
    "shell": "bash", "zsh": "bash", "console": "console", "json": "json", "jsonl": "json", "yaml": "yaml",
    "yml": "yaml", "toml": "toml", "ini": "ini", "c": "c", "cpp": "cpp", "c++": "cpp", "cuda": "cuda",
    "go": "go", "rust": "rust", "java": "java", "javascript": "javascript", "js": "javascript",
    "typescript": "typescript", "ts": "typescript", "html": "html", "css": "css", "sql": "sql",
    "dockerfile": "docker", "docker": "docker", "diff": "diff", "jinja": "jinja",
}  # fmt: skip

_HTML = (
    "a abbr b blockquote br caption center cite code col colgroup dd del details div dl dt em figcaption "
    "figure h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp section small span strong sub "
    "summary sup table tbody td tfoot th thead tr tt u ul var"
)
_MATHML = (
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace "
    "msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none"
)
_TAGS = set(_HTML.split()) | set(_MATHML.split())
_ATTRIBUTES: dict[str, set[str]] = {
    "*": {"id", "class", "align", "lang", "dir", "title"},
    "a": {"href"},
    "img": {"src", "alt", "width", "height"},
    "ol": {"start", "reversed", "type"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
    "col": {"span"},
    "details": {"open"},
    "math": {"display", "xmlns"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mo": {"stretchy", "fence", "separator", "form", "lspace", "rspace", "minsize", "maxsize", "accent"},
    "mover": {"accent"},
    "munder": {"accentunder"},
    "mspace": {"width", "height", "depth"},
    "mstyle": {"displaystyle", "scriptlevel", "mathcolor"},
    "mtable": {"columnalign", "rowspacing", "columnspacing", "columnlines", "rowlines", "frame"},
    "mtd": {"columnalign"},
    "menclose": {"notation"},
    "mpadded": {"width", "height", "depth", "lspace", "voffset"},
}
_CLASS = re.compile(
    r"hl-[a-z0-9]{1,12}|highlight|math|footnotes?|footnote-(?:ref|item|backref)|external-image"
)
LINK_REL = "nofollow noopener noreferrer"
_SCHEMES = {"http", "https", "mailto"}
_TASK = re.compile(r"\[([ xX])\](?=[ \u00a0])")


@dataclass(frozen=True, slots=True)
class Links:
    """Where a card's relative links and images lead: to files of its own revision."""

    repository: str  # namespace/name
    revision: str

    def file(self, path: str) -> str:
        """The address of `path` in the revision; a folder's listing where it ends in a slash."""
        clean = normpath("/" + path).lstrip("/")  # .. stops at the root
        verb = "tree" if not clean or path.endswith("/") else "resolve"
        base = f"/{quote(self.repository)}/{verb}/{quote(self.revision, safe='')}"
        return f"{base}/{quote(clean)}" if clean else base


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a card, for its table of contents."""

    level: int
    anchor: str  # id in the page
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """Safe HTML, and the headings in it."""

    html: str
    headings: tuple[Heading, ...] = ()

    def __html__(self) -> str:
        return self.html


@lru_cache(maxsize=64)
def rendered(markdown: str, links: Links) -> Rendered:
    """`markdown` as safe HTML whose relative links and images lead into the revision that `links` names."""
    parser = _parser()
    tokens = parser.parse(markdown[:MAX_MARKDOWN])
    html = parser.renderer.render(tokens, parser.options, {})
    return Rendered(_clean(html, links), tuple(_outline(tokens)))


def slug(text: str) -> str:
    """The anchor of a heading, as GitHub makes it: lower case, hyphens for spaces, no punctuation."""
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True, "linkify": True, "highlight": _highlighted})
    parser.enable(["table", "strikethrough", "linkify"])
    assert parser.linkify is not None
    parser.linkify.set({"fuzzy_link": False, "fuzzy_email": False})  # README.md is no host in Moldova
    anchors_plugin(parser, max_level=6, slug_func=slug)
    # "$5 and $10" is no formula: no space inside of the dollars, no digit beside them.
    dollarmath_plugin(
        parser,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,
        double_inline=True,
        renderer=_formula,
    )
    footnote_plugin(parser)
    parser.core.ruler.push("aligned", _align)
    parser.core.ruler.push("tasks", _mark_tasks)
    return parser


def _highlighted(code: str, language: str, _attributes: str) -> str:
    """`code` as spans with classes; the empty text leaves it to the escaping renderer."""
    name = LEXERS.get(language.strip().lower())
    if name is None or len(code) > MAX_CODE:
        return ""
    formatter = HtmlFormatter(nowrap=True, classprefix=CODE_PREFIX)
    lines = highlight(code, get_lexer_by_name(name), formatter)
    return f'<pre class="highlight"><code>{lines}</code></pre>'


def _formula(content: str, options: dict[str, object]) -> str:
    """LaTeX as MathML; what it cannot read is shown as it was written."""
    is_block = bool(options.get("display_mode"))
    if len(content) > MAX_FORMULA:
        return f"<code>{escape(content)}</code>"
    try:
        return latex2mathml.converter.convert(content, display="block" if is_block else "inline")
    except Exception:  # noqa: BLE001  the converter fails on bad LaTeX in a dozen ways, none of them ours
        return f'<code class="math">{escape(content)}</code>'


def _align(state: StateCore) -> None:
    """Table cells say `align`, not `style`, which the page's policy forbids."""
    for token in state.tokens:
        style = token.attrs.pop("style", None)
        if isinstance(style, str) and style.startswith("text-align:"):
            token.attrs["align"] = style.removeprefix("text-align:")


def _mark_tasks(state: StateCore) -> None:
    """List items that begin with [ ] or [x] begin with a ballot box."""
    before = ("", "")
    for token in state.tokens:
        if token.type == "inline" and before == ("list_item_open", "paragraph_open") and token.children:
            first = token.children[0]
            if first.type == "text" and (match := _TASK.match(first.content)):
                first.content = ("☐" if match[1] == " " else "☑") + first.content[match.end() :]
        before = (before[1], token.type)


def _outline(tokens: Sequence[Token]) -> list[Heading]:
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and (anchor := token.attrs.get("id")):
            text = "".join(
                child.content for child in inline.children or () if child.type in ("text", "code_inline")
            )
            found.append(Heading(int(token.tag[1]), f"{ID_PREFIX}{anchor}", text))
    return found


def _clean(html: str, links: Links) -> str:
    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags={
            "script",
            "style",
            "iframe",
            "noscript",
            "template",
            "textarea",
            "select",
            "svg",
            "title",
        },
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute_filter(links),
        url_schemes=_SCHEMES,
        link_rel=LINK_REL,
    )
    return _without_outside_images(clean)


def _attribute_filter(links: Links) -> Callable[[str, str, str], str | None]:
    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "id":
            return ID_PREFIX + value
        if attribute == "class":
            return " ".join(word for word in value.split() if _CLASS.fullmatch(word)) or None
        if attribute == "href":
            return _address(value, links)
        if attribute == "src":
            address = _address(value, links)
            return address if address and address.startswith(("/", "http://", "https://")) else None
        if attribute in ("width", "height") and tag == "img":
            return value if re.fullmatch(r"\d{1,4}(?:px|%)?", value) else None
        return value

    return keep


def _address(value: str, links: Links) -> str | None:
    """Where a link leads: anchors in the card, files in the revision, other places as they are."""
    # Browsers drop these characters before they read the scheme: java\nscript: is javascript:.
    value = re.sub(r"[\x00-\x1f\x7f]", "", value).strip()
    if value.startswith("#"):
        return f"#{ID_PREFIX}{unquote(value[1:])}" if len(value) > 1 else value
    if value.startswith(("//", "\\", "/\\")):
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    if parts.scheme:
        return value if parts.scheme.lower() in _SCHEMES else None
    if parts.netloc or value.startswith("/"):
        return value if not parts.netloc else None
    address = links.file(unquote(parts.path))
    query = f"?{parts.query}" if parts.query else ""
    return address + query + (f"#{parts.fragment}" if parts.fragment else "")


# nh3 writes attributes in double quotes and escapes quotes in them, so this sees whole tags only.
_LINK_OR_IMAGE = re.compile(r'<(/?a|img)((?: [a-zA-Z-]+="[^"]*")*)>')


def _without_outside_images(html: str) -> str:
    """Images from elsewhere become links: no third party learns who reads, and the policy blocks them."""
    depth = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal depth
        tag, attributes = match[1], dict(re.findall(r' ([a-zA-Z-]+)="([^"]*)"', match[2]))
        if tag != "img":
            depth += 1 if tag == "a" else -1
            return match[0]
        source = attributes.get("src", "")
        if not source.startswith(("http://", "https://")):
            return match[0] if source else ""
        label = attributes.get("alt", "").strip() or source.rsplit("/", 1)[-1].partition("?")[0] or source
        label = label.replace("<", "&lt;").replace(">", "&gt;")
        if depth > 0:
            return f'<span class="external-image">{label}</span>'
        return f'<a class="external-image" href="{source}" rel="{LINK_REL}">{label}</a>'

    return _LINK_OR_IMAGE.sub(replaced, html)
