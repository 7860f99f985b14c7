"""The page about speed: figures of the last full ``make bench``, and what they mean."""

from tests.benchmarks.contenders import ENVOY, OURS, RELAY
from tests.benchmarks.results import PLOT, load
from tests.benchmarks.tables import tables
from tests.benchmarks.workloads import SMALL

_PAGE = """# Performance

What a request costs on its way through, beside other programs that could stand there. `make bench` measures everything
on this page again and writes the page's figures; `make bench ARGS=--quick` shows in a few minutes that it runs.

![CPU per request: the sidecar, Envoy, nginx, a plain aiohttp relay, and aiohttp's server alone](benchmarks/{plot})

Taken on {taken}: {machine}.
The machine had other work at the same time, which rates and memory caches feel. Other machines show other figures;
ratios between the columns of one line stay about the same.

## How it is measured

- All programs run at the same time on one core, one process each; the load (wrk, 32 connections) and the upstream run
  on the other. Programs take turns, round by round, and each figure is the median over the rounds, since a machine is
  seldom alone.
- CPU is the process' own, user and kernel mode, from `/proc`, divided by the requests it answered. Unlike a rate, it
  does not depend on who else is at work.
- The sidecar has everything on: each token is verified, each use of an issued token leaves a receipt in a file, and
  everything is counted. The others do less, as the last table says, and write no access log.
- Latency is measured below saturation, with requests sent at random instants whatever comes back. From each figure that
  of the upstream itself, asked directly in the same round, is taken away. The three rounds count in which others took
  least of the gateway's core; how much that was is told with them.
- WebSocket messages go through a gateway of their own, 32 connections at once, each with one message on its way.
- Memory per stream: eight bodies at once, 1 GiB together. Whoever reads an answer pauses first, so that it piles up in
  the gateway if it can.

## Figures

{tables}
## What they mean

A sidecar serves one application. At {cpu:.0f} µs for a small request, some {rate:,.0f} of them a second keep a core
busy; an application that is asked more often than that runs in several pods, each with a sidecar.

It takes {to_relay:.2f} times the CPU of the relay one would write first, which verifies, exchanges and records nothing,
and {to_envoy:.1f} times that of Envoy, which is C++. The larger the bodies, the less that matters: bytes are copied by
the same kernel.

## Why it is not less

Of the CPU of a small request, as a sampling profiler of the whole process sees it, 77 % is the Python interpreter, 12 %
the kernel, 4 % the C library, 3 % uvloop and 2 % the HTTP parser, which are in C already. All but the interpreter
together is more than half of what Envoy takes in all. To take no more than Envoy, the interpreter's part would have to
be a fifth of what it is.

That part is spread thin. Of the main thread's time:

| part | share |
| --- | ---: |
| the connection to the upstream: writing, its response's head, its pool | 20 % |
| the decision: match, take, verify, allow, exchange | 13 % |
| the two heads that are written | 12 % |
| the event loop | 12 % |
| the caller's connection: its requests one after another, and what is written | 11 % |
| what holds the parts together | 10 % |
| accepting the request's head | 8 % |
| counting, and the receipt | 8 % |
| aiohttp's protocol and parser | 6 % |

No function takes more than 3 % by itself. A small request is some 260 calls of Python functions, of 480 before the last
of the steps below. What is left are checks that every request needs, and the bytes of two heads.

- Subjects: nothing in the cost grows with them but the cache.
- Routes: a match is a look into tables and costs about the same in a large configuration as in a small one.
- A stampede of requests with tokens never seen before makes one exchange per subject, however many ask at once.
- Memory does not depend on the length of a body; it is what is on the way between two sockets, and bounded. With
  uvloop an upload holds more, since it is handed larger pieces at once.

## Make it faster

`pip install 'token-exchange-sidecar[speed]'` adds uvloop, which is used where it can be imported. An interpreter that
was built with its optimizations takes some 4 % less than one without, as it is measured here; between Python 3.11 and
3.13, both built without, no difference could be told from noise.

## What was done, and what was not kept

| what | gain, CPU per small request where it says no other |
| --- | --- |
| done once for warm requests: the match, what is asked, the judgement of a hit | the decision takes 10 µs, not 26 |
| one task for all requests of a connection; none for bodies that are there already | 14 to 20 %, both lines |
| memory that bodies needed is kept, not given back | 19 % of 64 KiB, either way; 7 % of a 1 MiB reply |
| a request's fields looked up by name, what many requests share made once | 8 % |
| collections of garbage less often, without what stays | 3 % with one subject, 7 % with 1,000 |
| uvloop | 5 to 10 % |
| large uploads handed on in pieces of 64 KiB | with uvloop 0.6 MiB of memory per stream, not 1.6 |
| response heads taken apart by the grammar that admits them, without a second parser | 2 % |
| a timer only for the part of a body that has not come | 6 to 10 % of a 64 KiB upload |

What is remembered is a function of values that never change, and is asked for by the very same values: a match by
listener, method, host and path, where no route of the listener looks at fields; what is asked of the authorization
server by the verified subject and the actor token as they are in memory; a judgement by token, expectation and subject.
So there is nothing to forget in a key, and a reload, another key of an issuer, a newer token or the end of one find
nothing that was remembered for them. Each memory is bounded.

Not kept, since it gained too little. Eighteen pure modules compiled with mypyc: 4 %, and a compiler wherever there is
no wheel. Leaving objects out of garbage collections without making those less frequent: nothing.

Single gains were measured on a machine with other work, old and new in turns; a few per cent either way are noise.

Not tried, on purpose; what it would save is read off the profile. Making values frozen takes 4 % of the time, and is
what keeps a decision as it was made. A parser of our own in place of aiohttp's would save about 2 %, and that one has
been hardened by years of attacks. Remembering lines of responses' heads would save some 4 %, and would keep what is
secret in some of them. Bodies could go from socket to socket inside the kernel (`splice`) where both sides are without
TLS; that would be a second way for every body, beside the one that TLS needs anyway.
"""


def page() -> str:
    """Return the page."""
    results = load()
    small = results.cpu_us[SMALL]
    cpu = small[OURS]
    return _PAGE.format(
        plot=PLOT.name,
        taken=results.taken,
        machine=results.machine,
        tables=tables(results),
        cpu=cpu,
        rate=round(1e6 / cpu, -2),
        to_relay=cpu / small[RELAY],
        to_envoy=cpu / small[ENVOY],
    )
