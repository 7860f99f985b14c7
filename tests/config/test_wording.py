import pytest
from pydantic import ValidationError

from sidecar.config.schema import Config
from sidecar.config.wording import findings, nearest
from tests.config.conftest import Workshop, read


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("gatway", {}, "unknown key; did you mean 'gateway'?"),
        ("gateway.max_inflight", 1, "unknown key; did you mean 'max_in_flight'?"),
        ("gatway", None, "unknown key; did you mean 'gateway'?"),
        ("gateway.drain.qqq", 1, "unknown key; known here: delay, grace"),
        ("routes.0.exchange.audiance", [], "unknown key; did you mean 'audience'?"),
        ("routes.0.exchange.expect.scopes", [], "unknown key; did you mean 'scope'?"),
        ("trusted_issuers.corp.tls.cafile", "x", "unknown key; did you mean 'ca_file'?"),
        ("gateway.max_in_flight", "5", "should be a whole number, without quotes and unit"),
        ("gateway.max_in_flight", True, "should be a whole number, without quotes and unit"),
        ("gateway.max_in_flight", 1.0, "should be a whole number, without quotes and unit"),
        ("gateway.max_in_flight", 0, "should be at least 1"),
        ("gateway.max_in_flight", 10**17, "should be at most 1000000000"),
        ("cache.refresh_ahead", "0.8", "should be a number, without quotes and unit"),
        ("cache.refresh_ahead", 0, "should be more than 0.0"),
        ("cache.refresh_ahead", 2, "should be at most 1.0"),
        ("admin.pages", "all", "should be 'loopback' or 'any'"),
        ("admin.pages", ["any"], "should be 'loopback' or 'any'"),
        ("routes.0.upstream.drop_cookies", "yes", "should be true or false"),
        ("routes.0.upstream.drop_cookies", 1, "should be true or false"),
        ("routes.0.exchange", "no", "should be 'none', or a mapping"),
        ("routes.0.exchange", None, "is empty; should be 'none', or a mapping"),
        ("routes.0.exchange", [], "should be 'none', or a mapping"),
        ("routes.0.exchange.expect.audience", "x", "should be 'asked' or 'any', or a list"),
        ("routes.0.exchange.expect.audience", {}, "should be 'asked' or 'any', or a list"),
        ("routes.0.exchange.audience", "orders-api", "should be a list, such as [a, b]"),
        ("routes.0.exchange.audience", {"a": 1}, "should be a list, such as [a, b]"),
        ("routes.0.exchange.semantics", "x", "should be 'any', 'delegation' or 'impersonation'"),
        ("cache", None, "is empty; should be a mapping of keys to values"),
        ("cache", [], "should be a mapping of keys to values"),
        ("trusted_issuers", [], "should be a mapping of keys to values"),
        ("routes", {}, "should be a list, such as [a, b]"),
        ("routes", [], "should have at least 1 entry"),
        ("routes.0.match.hosts", [], "should have at least 1 entry"),
        ("trusted_issuers.corp.issuer", 5, "should be text; quotes make it so"),
        ("trusted_issuers.corp.audience", [], "should have at least 1 entry"),
        ("version", True, "should be a whole number, without quotes and unit"),
        ("version", 2, "should be 1"),
        ("authorization_servers.corp.client_auth", "none", "should be a mapping of keys to values"),
        ("gateway.listen", 8080, "should be text"),
    ],
)
def test_one_mistake_is_one_plain_sentence(workshop: Workshop, path: str, value: object, complaint: str) -> None:
    found = workshop.wrong_with(path, value)
    assert found == {path: complaint}


def test_a_list_with_wrong_entries_is_not_called_empty(workshop: Workshop) -> None:
    assert workshop.wrong_with("routes.0.match.methods", ["get", "put"]) == {
        "routes.0.match.methods.0": "should be a method in capitals, such as GET",
        "routes.0.match.methods.1": "should be a method in capitals, such as GET",
    }


def test_what_is_missing_says_what_it_is_for(workshop: Workshop) -> None:
    def change(tree: dict[str, dict[str, dict[str, object]]]) -> None:
        del tree["trusted_issuers"]["corp"]["audience"]

    assert workshop.wrong(change) == {
        "trusted_issuers.corp.audience": "missing; at least one of these must be in the token's audience"
    }


@pytest.mark.parametrize("client_auth", [{}, {"method": "client_secret_basik"}, {"method": ["none"]}, {"method": None}])
def test_the_method_decides_which_keys_count(workshop: Workshop, client_auth: object) -> None:
    assert workshop.wrong_with("authorization_servers.corp.client_auth", client_auth) == {
        "authorization_servers.corp.client_auth.method": (
            "should be one of none, client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt, "
            "tls_client_auth, self_signed_tls_client_auth, jwt_file, spiffe_jwt"
        )
    }


def test_only_the_chosen_variant_is_reported(workshop: Workshop) -> None:
    found = workshop.wrong_with(
        "authorization_servers.corp.client_auth", {"method": "private_key_jwt", "client_secret_env": "X", "key": "x"}
    )
    prefix = "authorization_servers.corp.client_auth."
    assert set(found) == {prefix + name for name in ("client_id", "key_file", "algorithm", "client_secret_env", "key")}
    assert found[prefix + "client_secret_env"].startswith("unknown key; ")
    assert found[prefix + "key"] in ("unknown key; did you mean 'key_id'?", "unknown key; did you mean 'key_file'?")


def test_a_wrong_name_is_reported_at_the_key(workshop: Workshop) -> None:
    assert workshop.complaints("version: 1\nworkload_tokens:\n  a b: {file: x, type: jwt}\nroutes: []\n")[0] == (
        "3:3: workload_tokens.\"a b\": should be a name of 1 to 64 letters, digits, '.', '_' or '-'"
    )


def test_the_librarys_marks_may_be_keys(workshop: Workshop) -> None:
    for mark in ("[key]", "word", "mapping"):
        shown = f'"{mark}"' if "[" in mark else mark
        assert workshop.wrong_with(f"gateway.drain.{mark}", 1) == {
            f"gateway.drain.{shown}": "unknown key; known here: delay, grace"
        }
        assert workshop.wrong_with(f"authorization_servers.corp.extra_params.{mark}", 1) == {
            f"authorization_servers.corp.extra_params.{shown}": "should be text; quotes make it so"
        }


def test_no_wording_of_the_library_gets_through() -> None:
    wrong = {
        "gateway": {"a": 1, "trusted_proxies": 5, "listeners": {1: 2}},
        "routes": [{"exchange": {"scope": [b""]}}],
        "é": 1,
    }
    with pytest.raises(ValidationError) as refused:
        read(Config, wrong)
    found = list(findings(refused.value))
    assert len(found) > 5
    for finding in found:
        assert "nput" not in finding.message
        assert "{" not in finding.message


def test_nearest() -> None:
    assert nearest("crop", ["corp", "partner"]) == "; did you mean 'corp'?"
    assert nearest("zzz", ["corp"]) == ""
    assert nearest("a" * 100_000, ["corp"]) == ""
