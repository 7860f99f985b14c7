"""The section about includes: files that teams write, and what each of them allows.

What an entry of ``allow`` means is in ``config.include_patterns``; how routes are held against it in ``config.house``.
"""

from typing import Annotated, Literal

from sidecar.config.schema.base import Section, key, section
from sidecar.config.schema.markers import Check, Read, Written
from sidecar.config.schema.types import AtLeastOne, Many, Name, PathPrefix, Text, Version
from sidecar.config.teams import patterns

AllowedHost = Annotated[str, Check(patterns.allowed_host)]
AllowedText = Annotated[str, Check(patterns.allowed_text)]
AllowedScope = Annotated[str, Check(patterns.allowed_scope)]
AllowedUpstream = Annotated[patterns.UpstreamPattern, Read(patterns.upstream_pattern), Written({"type": "string"})]


@section
class Allow(Section):
    """What the routes of an include may be; a key left out allows nothing."""

    hosts: Many[AllowedHost] = key("Hosts they may serve: names, *.example.com, or * for any.", default=())
    path_prefixes: Many[PathPrefix] = key("Prefixes of whole segments that their paths lie under.", default=())
    authorization_servers: Many[Name] = key("Whom they may ask for exchanges.", default=())
    audiences: Many[AllowedText] = key(
        "Audiences and resources they may ask for or accept; a * at the end stands for anything plain.", default=()
    )
    scopes: Many[AllowedScope] = key(
        "Scopes they may ask for or accept; a * at the end stands for anything plain.", default=()
    )
    upstreams: Many[AllowedUpstream] = key(
        "Where they may forward to: URLs, in which the port, the first label or the end of the path may be *.",
        default=(),
    )


@section
class Include(Section):
    """Files of a team, which hold routes and nothing else."""

    name: Name = key("Unique; its routes are called name/route.")
    files: Text = key("Which files, such as teams/a/*.yaml.")
    on_error: Literal["reject", "isolate"] = key(
        "What a mistake in its files stops: the whole configuration, or this include alone.", default="reject"
    )
    allow: Allow = key("What its routes may be.", default={})


@section
class PublishedInclude(Section):
    """An include as a team may know it."""

    name: Name = key("Its name.")
    allow: Allow = key("What its routes may be.", default={})


@section
class PublishedHouse(Section):
    """What a team needs to know of the platform's file to check its own: names, and nothing that is secret."""

    version: Version = key("The version of the file's form: 1.")
    include: PublishedInclude = key("The team's include.")
    listeners: AtLeastOne[Name] = key("Where routes may exist.")
    trusted_issuers: Many[Name] = key("Whose tokens callers may present.", default=())
    authorization_servers: Many[Name] = key("Whom the gateway asks for exchanges.", default=())
