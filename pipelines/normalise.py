"""Column conversions in Ibis: whatever type a source uses in, one type out, null where there is no value.

Nothing raises on a bad value; the callers decide whether null means quarantine, a default or an error.
"""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_LIMIT = 2.0**62  # beyond it a number cannot be a time, and a cast to int64 may fail


def as_text(column: Any) -> ir.StringValue:
    """One value a row as text: strings exactly as they are, whole floats without ".0" (7.0 is "7")."""
    dtype = column.type()
    if dtype.is_string():
        return column
    if dtype.is_floating():
        whole = column.try_cast("int64")  # rounds, and is null for NaN and for what is too large
        return ibis.cases(
            (column.isnan(), ibis.null("string")),
            (whole.cast("float64") == column, whole.cast("string")),
            else_=column.cast("string"),
        )
    return column.cast("string")


def as_number(column: Any) -> ir.FloatingValue:
    """Numbers, and text that reads as one, as float64; null where missing, NaN or infinite."""
    number = column.cast("float64") if _is_number(column) else as_text(column).try_cast("float64")
    return (number.isnan() | number.isinf()).ifelse(ibis.null("float64"), number)


def as_joined(column: Any, separator: str) -> ir.StringValue:
    """Several values a row as one text; lists are joined by `separator`, text is taken as already joined."""
    if not column.type().is_array():
        return as_text(column)
    return column.map(lambda value: as_text(value)).filter(lambda value: value.notnull()).join(separator)


def as_vector(column: Any) -> ir.ArrayValue:
    """Lists of numbers, or text such as "[0.1, 0.2]" or "0.1 0.2", as float32 lists; bad elements are null."""
    if not column.type().is_array():
        bare = as_text(column).re_replace(r"^[\s\[\(]+|[\s\]\)]+$", "")
        column = bare.nullif("").re_replace(r"[\s,;|]+", ",").split(",")
    return column.map(lambda value: as_number(value).try_cast("float32"))


def as_clock(column: Any, unit: str) -> ir.IntegerValue:
    """Times as int64 unix seconds: timestamps, dates, ISO text (UTC unless it names a zone), or numbers in
    `unit` (text of digits is a number). Fractions of a second are cut off."""
    dtype = column.type()
    if dtype.is_timestamp() or dtype.is_date():
        return _seconds(column.cast("timestamp") if dtype.is_date() else column)
    if _is_number(column):
        return _scaled(as_number(column), UNITS[unit])
    text = as_text(column)
    return ibis.coalesce(_scaled(as_number(text), UNITS[unit]), _seconds(text.try_cast("timestamp('UTC')")))


def as_order(column: Any) -> ir.IntegerValue:
    """Order numbers as int64, exact over its whole range; null where it is not a whole number."""
    if column.type().is_integer():
        return column.try_cast("int64")
    text = as_text(column).strip()
    return text.re_search(r"^[+-]?\d+$").ifelse(text.try_cast("int64"), ibis.null("int64"))


def _is_number(column: Any) -> bool:
    dtype = column.type()
    return dtype.is_numeric() or dtype.is_boolean()


def _scaled(number: Any, factor: int) -> ir.IntegerValue:
    # Bounded first: engines may compute the cast also for rows whose result is not taken.
    seconds = number / float(factor)
    return (seconds.abs() < _LIMIT).ifelse(seconds, ibis.null("float64")).floor().cast("int64")


def _seconds(moment: Any) -> ir.IntegerValue:
    # Truncated first: engines disagree on whether epoch seconds keep, round or cut the fraction.
    return moment.truncate("s").epoch_seconds().cast("int64")
