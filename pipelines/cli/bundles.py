"""Commands on published bundles: ask them, put items in, and say what they need and how old they are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError
from pipelines.cli.words import (
    GATE_FAILED,
    Filter,
    command,
    console,
    filters,
    lines,
    pair,
    places,
    progress,
)

app = typer.Typer()


@app.command()
def recommend(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    user: Annotated[str | None, typer.Option(help="Whose features and history to use.")] = None,
    k: Annotated[int, typer.Option(help="How many.")] = 10,
    history: Annotated[list[str] | None, typer.Option(help="Item ids, oldest first; replaces the stored ones.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids that must not be recommended.")] = None,
    filter: Filter = None,
    like: Annotated[
        list[str] | None, typer.Option(help="Chosen by someone new: --like category=film, or an item.")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="Request features: --context device=phone")] = None,
    time: Annotated[int | None, typer.Option(help="Moment of the request; default: the end of the data.")] = None,
    relevance: Annotated[
        float | None, typer.Option(help="Weight of scores against diversity, 0 to 1; default: the bundle's.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each place is listed.")] = False,
) -> None:
    """Answer from a published bundle."""
    from serving.manifest import newest

    given = dict(pair("--context", text, "device=phone") for text in context or [])
    asked = {"likes": like or [], "history": history, "context": given, "time": time, "relevance": relevance}
    recommendations(bundle, user, k, explain=explain, exclude=exclude or [], filters=filters(filter), **asked)
    lines(("next", command("serve", newest(bundle).parent)))


@app.command()
def similar(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    item: Annotated[str, typer.Argument(help="Whose neighbours to list.")],
    k: Annotated[int, typer.Option(help="How many.")] = 10,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids that must not be listed.")] = None,
    filter: Filter = None,
) -> None:
    """List the items nearest to one, from a published bundle."""
    from serving.bundle import load_bundle

    opened = load_bundle(bundle)
    found = opened.similar(item, k, exclude=exclude or [], filters=filters(filter))
    print(f"{len(found)} items similar to {item}, {opened.state.titles([item])[item]}")
    columns = ("item", "left"), ("title", "left"), ("cosine", "right")
    places(*columns, rows=[(one.item, one.title, f"{one.score:.3f}") for one in found])


@app.command()
def upsert(
    bundle: Annotated[Path, typer.Argument(help="A model's folder of versions, or its newest version.")],
    items: Annotated[Path | None, typer.Argument(help="Table of the new and changed items.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Item ids that must not be recommended any more.")] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Build the index again, of all items.")] = False,
) -> None:
    """Put new, changed and removed items into a published bundle, as its next version."""
    from pipelines.index.words import served_words
    from pipelines.upsert import upsert as publish_items

    if items is None and not remove and not compact:
        raise UserError("upsert: nothing to do; expected a table of items, --remove ID or --compact")
    done = publish_items(bundle, items, remove or [], compact=compact)
    found = done.outcome
    lines(
        ("items", f"{found.added:,} added, {found.changed:,} with another vector, {found.removed:,} removed"),
        *([("waiting", f"{found.waiting:,} not available yet; upsert them again then")] if found.waiting else []),
        ("index", f"{found.indexed:,} items, and {found.delta:,} searched exactly beside it"),
        *([("built again", served_words(done.recall))] if done.recall else []),
        ("seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in done.seconds.items())),
        ("bundle", done.version),
        ("next", command("recommend", done.version, "--user", "ID")),
    )


@app.command("check-server")
def check_server(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    target: Annotated[
        str | None, typer.Argument(metavar="[URL|BINARY]", help="A server, or its binary; default: this machine.")
    ] = None,
) -> None:
    """Say whether a server can load a bundle, and which export to use where it cannot."""
    from pipelines.check_server import check_server as check

    found = check(bundle, target)
    lines(*((one.what, f"{one.status:<11}  {one.detail}") for one in found.findings))
    if not found.loads:
        lines(("next", found.following))
        print(found.verdict, file=sys.stderr)
        raise typer.Exit(GATE_FAILED)
    lines(("verdict", found.verdict), ("next", found.following))


@app.command()
def staleness(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    items: Annotated[Path | None, typer.Argument(help="Today's whole item table.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A limit: --set freshness.max_age=7d")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, as JSON.")] = False,
) -> None:
    """Hold the age of a bundle's vectors, the items it lacks and their drift against limits; exit 3 if too stale."""
    import json

    from pipelines import freshness
    from pipelines.staleness import staleness as measure

    found = measure(bundle, items, override or [], progress=progress())
    checks = freshness.judge(found)
    following = freshness.next_step(found, checks, items)
    if as_json:
        print(json.dumps(freshness.as_json(found, checks), indent=2, allow_nan=False))
    else:
        freshness.print_checks(checks, console())
        lines(("bundle", found.version), *([("next", command(*following))] if following else []))
    if not freshness.fresh(checks):
        print(freshness.failures(checks), file=sys.stderr)
        raise typer.Exit(GATE_FAILED)


def recommendations(bundle: Path, user: str | None, k: int, *, explain: bool = False, **request: Any) -> None:
    """Print a list; without a user and a request, that of the user with the longest history."""
    from serving.bundle import Recommendation, load_bundle

    opened = load_bundle(bundle)
    if explain and "because" not in opened.manifest["signatures"]["recommend"]["outputs"]:
        why = "popularity does not" if opened.manifest["policy"] != "model" else "older versions did not; export again"
        raise UserError(f"--explain: {opened.folder} says no reasons, as {why}")
    if user is None and not request:
        user = opened.state.any_query()
    found = opened.recommend(user, k, **request)
    who = f"for {user}" if user is not None else "for an anonymous query"
    known = user is not None and opened.state.query(user) is not None
    print(f"{len(found)} recommendations {who}{'' if known else ' (nothing stored of it)'}")
    scores = ("score", "retrieval") if explain else ("score",)
    titles = opened.state.titles([one.because for one in found]) if explain else {}

    def said(one: Recommendation) -> str:
        reason = f"because of {titles.get(one.because, one.because)}" if explain and one.because else ""
        return ", ".join(filter(None, ["from popularity" if one.filled else "", reason]))

    columns = ("item", "left"), ("title", "left"), *((name, "right") for name in scores), ("", "left")
    rows = [(one.item, one.title, *(f"{getattr(one, name):.3f}" for name in scores), said(one)) for one in found]
    places(*columns, rows=rows)
