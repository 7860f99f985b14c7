from sidecar.config.matches import match_of
from sidecar.config.schema import Match as MatchSection
from sidecar.model.route import Match, PathRelaxation
from tests.config.conftest import read


def test_a_section_as_routing_sees_it() -> None:
    section = read(
        MatchSection,
        {
            "hosts": ["API.example.com"],
            "path": "/x/{id}",
            "methods": ["GET"],
            "headers": {"X-Tenant": "One"},
            "allow": ["encoded-slash"],
        },
    )
    assert match_of(section) == Match(
        hosts=("api.example.com",),
        path="/x/{id}",
        methods=frozenset({"GET"}),
        headers=((b"x-tenant", b"One"),),
        allow=frozenset({PathRelaxation.ENCODED_SLASH}),
    )
    assert match_of(read(MatchSection, {"path_prefix": "/"})) == Match(path_prefix="/")
