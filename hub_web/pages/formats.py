"""Numbers, sizes and moments as people read them in the page's language. Knows no models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import log10

from babel.dates import format_timedelta
from babel.numbers import format_compact_decimal, format_decimal
from flask_babel import format_datetime, get_locale

PARAMETER_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))
BYTE_UNITS = ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB"))
SMALLEST, LARGEST = 6, 12.5  # powers of ten of parameters between which the size bar runs


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time: for machines, exactly, and as seen from now."""

    iso: str
    exact: str
    relative: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a bar, in per mille of its width; hue is one of the stylesheet's five."""

    start: int
    width: int
    hue: int = 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """A number of parameters: short (22.7M), exact, and on a logarithmic bar."""

    short: str
    exact: str
    bar: tuple[Segment, ...]


def number(value: int) -> str:
    """`value` with the separators of the page's language."""
    return format_decimal(value, locale=get_locale())


def compact(value: int) -> str:
    """`value` shortened as the page's language does: 12K, 1.2万."""
    return format_compact_decimal(value, locale=get_locale(), fraction_digits=1)


def short(value: float, units: tuple[tuple[int, str], ...], space: str = "") -> str:
    """`value` in three digits and the largest fitting unit: 22.7M, 1.36B, 90.9 MB."""
    for size, unit in units:
        if value < size * 0.9995:  # what rounds up to the next unit is said in it
            continue
        scaled = value / size
        digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
        text = f"{scaled:.{digits}f}"
        if "." in text:
            text = text.rstrip("0").rstrip(".")
        return f"{text}{space}{unit}"
    return f"{value:.0f}"


def parameters(count: int) -> Parameters:
    """`count` parameters, ready to be shown."""
    place = (log10(max(count, 1)) - SMALLEST) / (LARGEST - SMALLEST)
    width = round(1000 * min(max(place, 0.02), 1))
    return Parameters(short(count, PARAMETER_UNITS), number(count), (Segment(0, width),))


def size(count: int) -> str:
    """Bytes in decimal units, as file managers and other hubs count them."""
    return short(count, BYTE_UNITS, space=" ") if count >= 1000 else f"{count} B"


def gibibytes(count: float) -> str:
    """Bytes in binary units, as memory is sold."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if count >= unit:
            return short(count / unit, ((1, ""),)) + " " + name
    return f"{count / 2**10:.0f} KiB"


def moment(at: datetime, now: datetime | None = None) -> Moment:
    """`at` for people; naive times are UTC."""
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    now = now or datetime.now(UTC)
    relative = format_timedelta(min(at - now, timedelta(seconds=-1)), add_direction=True, locale=get_locale())
    return Moment(
        at.astimezone(UTC).isoformat(timespec="seconds"), f"{format_datetime(at, 'medium')} UTC", relative
    )
