"""What can be asked of a version, for those who choose from it: filters, likes, features, kinds of events, limits."""

from __future__ import annotations

from configs.serving import Limits
from serving.server.api import Catalogue, Choices, Feature
from serving.server.version import Version

_MOST = 200  # values that are told of one filter or feature, and names of what can be liked


def catalogue(version: Version, limits: Limits) -> Catalogue:
    """What a version takes. It costs the same however many values there are."""
    manifest, bundle = version.manifest, version.bundle
    config, signatures, known = bundle.config, manifest["signatures"], manifest.get("values", {})
    asked = [("user", one) for one in config.on("queries")] + [("request", one) for one in config.on("events")]
    reranked = manifest.get("policy", "model") == "model" and "relevance" in signatures["recommend"]["inputs"]
    return Catalogue(
        model=str(manifest["name"]),
        version=version.number,
        meaning=config.data.events.meaning,
        items=int(manifest["items"]),
        filters=[
            Choices(name=name, values=values[:_MOST], more=len(values) > _MOST)
            for name, values in manifest.get("filters", {}).items()
        ],
        likes=_likes(version),
        features=[
            Feature(
                name=one.name,
                kind=one.kind,
                of=of,
                values=known.get(one.name, ())[:_MOST],
                more=len(known.get(one.name, ())) > _MOST,
            )
            for of, one in asked
            if one.kind != "id" and (one.kind != "time" or one.column is not None)
        ],
        kinds=list(config.data.events.weights),
        most=min(limits.k, int(manifest["items"])),
        relevance=config.rerank.relevance if reranked else None,
        neighbours="similar_items" in signatures,
        clock=config.data.events.time is not None,
    )


def _likes(version: Version) -> list[Choices]:
    """Values by feature, of those named first."""
    if "likes" not in version.manifest["signatures"]["recommend"]["inputs"]:
        return []
    found: dict[str, list[str]] = {}
    names = version.bundle.state.likes(_MOST + 1)
    for name in names[:_MOST]:
        feature, _, value = name.partition("=")
        found.setdefault(feature, []).append(value)
    # which feature those beyond belong to is not known: the last one, or others that come after it
    last = next(reversed(found), None)
    return [
        Choices(name=feature, values=values, more=feature == last and len(names) > _MOST)
        for feature, values in found.items()
    ]
