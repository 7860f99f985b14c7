"""A route's ``match`` section as the value that routing works on.

Here because two need it: ``teams.borders`` tells which routes of several houses meet, ``snapshot`` compiles them
whole.
"""

from sidecar.config.schema import Match as MatchSection
from sidecar.model.route import Match, PathRelaxation


def match_of(section: MatchSection) -> Match:
    """Return which requests a route takes."""
    return Match(
        hosts=section.hosts or (),
        path=section.path,
        path_prefix=section.path_prefix,
        methods=frozenset(section.methods or ()),
        headers=tuple((name.lower().encode(), value.encode()) for name, value in section.headers.items()),
        allow=frozenset(PathRelaxation(name) for name in section.allow),
    )
