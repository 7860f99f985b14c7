"""Who is measured, each configured to do the same: take a bearer token, set the one for the upstream, stream.

What each leaves out is said in ``CONTENDERS``, since only ours does the whole of it. Every one runs as one process that
serves (``GATEWAY_CORE``), writes no access log and keeps its connections open.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

from tests.benchmarks import installed
from tests.benchmarks.stage import ISSUER, Stage
from tests.support.process import free_port

GATEWAY_CORE: Final = (os.cpu_count() or 1) - 1
#: Where a program sets a token of its own accord, it sets one as long as a real one.
TOKEN: Final = "issued." + "t" * 600
OURS: Final = "sidecar"
PLAIN: Final = "sidecar, no uvloop"
RELAY: Final = "aiohttp relay"
ENVOY: Final = "Envoy"
NGINX: Final = "nginx"
CEILING: Final = "aiohttp alone"


@dataclass(frozen=True, slots=True)
class Target:
    """A program that is up and serves on a loopback port."""

    name: str
    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Contender:
    """start: raises Missing where the program can't be had. forwards: false for the one that answers by itself."""

    does: str
    version: Callable[[], str]
    start: Callable[[Stage], Target]
    forwards: bool = True


#: ``python -m sidecar`` where uvloop can't be imported.
_WITHOUT_UVLOOP: Final = ["-c", "import sys; sys.modules['uvloop'] = None; from sidecar import __main__ as m; m.main()"]


def start_ours(stage: Stage, *, routes: int = 1, name: str = OURS, uvloop: bool = True) -> Target:
    """Start our gateway with everything on: verification, cache, receipts to a file, metrics."""
    port = free_port()
    slug = name.replace(" ", "-").replace(",", "")
    server = f"http://127.0.0.1:{stage.sts_port}"
    upstream = {"url": stage.upstream}
    exchange = {"audience": ["orders-api"], "scope": ["orders.read"], "semantics": "impersonation"}
    others = [
        {"name": f"r{n}", "match": {"path_prefix": f"/team{n % 100}/service{n}"}, "upstream": upstream, **_exchanged(n)}
        for n in range(routes - 1)
    ]
    own = {"name": "measured", "match": {"path_prefix": "/"}, "upstream": upstream, "exchange": exchange}
    tree: dict[str, Any] = {
        "version": 1,
        "gateway": {"listen": f"127.0.0.1:{port}"},
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "receipts": {"sink": str(stage.folder / f"{slug}.jsonl")},
        "trusted_issuers": {
            "callers": {"issuer": ISSUER, "audience": ["orders-gateway"], "jwks_file": str(stage.jwks)}
        },
        "authorization_servers": {
            "corp": {
                "issuer": server,
                "client_auth": {
                    "method": "client_secret_basic",
                    "client_id": "gateway",
                    "client_secret_file": str(stage.folder / "gateway.secret"),
                },
            }
        },
    }
    file = stage.folder / f"{slug}.yaml"
    head = [f"{key}: {json.dumps(value)}" for key, value in tree.items()]
    file.write_text("\n".join([*head, "routes:", *(f"  - {json.dumps(route)}" for route in (own, *others)), ""]))
    program = ["-m", "sidecar"] if uvloop else _WITHOUT_UVLOOP
    argv = [sys.executable, *program, "run", "-c", str(file), "--log-level", "WARNING"]
    return Target(name, port, stage.start(slug, argv, port, core=GATEWAY_CORE))


def _exchanged(number: int) -> dict[str, Any]:
    return {
        "subject": {"require_scope": [f"service{number}"]},
        "exchange": {"audience": [f"service{number}-api"], "scope": ["read"]},
    }


def _start_relay(stage: Stage) -> Target:
    port = free_port()
    argv = [sys.executable, "-m", "tests.benchmarks.programs.relay", str(port), stage.upstream, TOKEN]
    return Target(RELAY, port, stage.start("relay", argv, port, core=GATEWAY_CORE))


def _start_ceiling(stage: Stage) -> Target:
    port = free_port()
    argv = [sys.executable, "-m", "tests.benchmarks.programs.ceiling", str(port)]
    return Target(CEILING, port, stage.start("ceiling", argv, port, core=GATEWAY_CORE))


def _start_nginx(stage: Stage) -> Target:
    program, modules = installed.nginx()
    port = free_port()
    folder = stage.folder / "nginx"
    folder.mkdir()
    bodies = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"""
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
worker_processes 1;
daemon off;
pid {folder}/pid;
error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_max_body_size 0;
{bodies}
  lua_shared_dict tokens 16m;
  upstream service {{ server 127.0.0.1:{stage.upstream_port}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      access_by_lua_block {{
        local credential = ngx.var.http_authorization
        if not credential or not credential:find("^[Bb]earer ") then return ngx.exit(401) end
        local tokens = ngx.shared.tokens
        local issued = tokens:get(credential)
        if not issued then
          issued = "Bearer {TOKEN}"
          tokens:set(credential, issued, 3600)
        end
        ngx.req.set_header("Authorization", issued)
      }}
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    return Target(NGINX, port, stage.start("nginx", argv, port, core=GATEWAY_CORE))


def _start_envoy(stage: Stage) -> Target:
    program = installed.envoy()
    port = free_port()
    file = stage.folder / "envoy.json"
    file.write_text(json.dumps(_envoy(stage, port)), encoding="utf-8")
    argv = [program, "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return Target(ENVOY, port, stage.start("envoy", argv, port, core=GATEWAY_CORE))


def _envoy(stage: Stage, port: int) -> dict[str, Any]:
    def typed(kind: str, **members: Any) -> dict[str, Any]:
        return {"@type": f"type.googleapis.com/envoy.extensions.filters.{kind}", **members}

    def address(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    swap = f"function envoy_on_request(h) h:headers():replace('authorization', 'Bearer {TOKEN}') end"
    jwt = typed(
        "http.jwt_authn.v3.JwtAuthentication",
        providers={
            "callers": {
                "issuer": ISSUER,
                "audiences": ["orders-gateway"],
                "local_jwks": {"inline_string": stage.jwks.read_text(encoding="utf-8")},
                "forward": True,
                "jwt_cache_config": {"jwt_cache_size": 10_000},
            }
        },
        rules=[{"match": {"prefix": "/"}, "requires": {"provider_name": "callers"}}],
    )
    lua = typed("http.lua.v3.Lua", default_source_code={"inline_string": swap})
    manager = typed(
        "network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="benchmark",
        http_filters=[
            {"name": "envoy.filters.http.jwt_authn", "typed_config": jwt},
            {"name": "envoy.filters.http.lua", "typed_config": lua},
            {"name": "envoy.filters.http.router", "typed_config": typed("http.router.v3.Router")},
        ],
        route_config={
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}],
                }
            ]
        },
    )
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    endpoint = {"endpoint": {"address": address(stage.upstream_port)}}
    return {
        "static_resources": {
            "listeners": [{"address": address(port), "filter_chains": [chain]}],
            "clusters": [
                {
                    "name": "service",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "service", "endpoints": [{"lb_endpoints": [endpoint]}]},
                }
            ],
        }
    }


def _python() -> str:
    return f"aiohttp {metadata.version('aiohttp')}, Python {sys.version.split()[0]}"


def _ours() -> str:
    return f"{_plain()}, uvloop {metadata.version('uvloop')}"


def _plain() -> str:
    from sidecar import __version__

    return f"{__version__}, {_python()}"


CONTENDERS: Final = {
    OURS: Contender("everything on: verification, cache, receipts to a file, metrics", _ours, start_ours),
    PLAIN: Contender(
        "the same without the extra `speed`", _plain, lambda stage: start_ours(stage, name=PLAIN, uvloop=False)
    ),
    ENVOY: Contender(
        "jwt_authn with its cache, one token set by Lua; nothing exchanged or recorded",
        lambda: installed.version([installed.envoy(), "--version"]).partition("version: ")[2].split("/")[1],
        _start_envoy,
    ),
    NGINX: Contender(
        "Lua looks the token up in a shared dictionary; nothing verified, exchanged or recorded",
        lambda: installed.version([installed.nginx()[0], "-v"]).removeprefix("nginx version: "),
        _start_nginx,
    ),
    RELAY: Contender("the relay one would write first; nothing verified, exchanged or recorded", _python, _start_relay),
    CEILING: Contender(
        "its server, which answers by itself; nothing forwarded", _python, _start_ceiling, forwards=False
    ),
}
