"""The page about speed: figures of the last full ``make bench``, and what they mean."""

from tests.benchmarks.contenders import OURS
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
  of the upstream itself, asked directly in the same round, is taken away. It is only told where nobody else was busy
  on the gateway's core.
- Memory per stream: eight bodies at once, 1 GiB together. Whoever reads an answer pauses first, so that it piles up in
  the gateway if it can.

## Figures

{tables}
## What they mean

A sidecar serves one application. At {cpu:.0f} µs for a small request, some {rate:,.0f} of them a second keep a core
busy; an application that is asked more often than that runs in several pods, each with a sidecar.

It costs about as much CPU as the relay one would write first, which verifies, exchanges and records nothing, and about
three times as much as Envoy, which is C++. The larger the bodies, the less that matters: bytes are copied by the same
kernel.

The way in, which is aiohttp's server, and four system calls per request are the floor; *aiohttp alone* shows it without
the way out. What is ours is spread thin. Of the main thread's time with small requests, as a sampling profiler sees it:

| part | share |
| --- | ---: |
| the decision: match, take, verify, allow, exchange | 21 % |
| the connection to the upstream, with parsing its response's head | 17 % |
| the two heads that are written | 11 % |
| accepting the request's head | 9 % |
| counting, and the receipt | 6 % |
| aiohttp's protocol | 10 % |
| the event loop, system calls and what holds the parts together | 26 % |

Nothing in it stands out: a small request is some 480 calls of functions, a fifth of a microsecond each. Fewer and
larger functions would be faster, and harder to review.

- Subjects: nothing in the cost grows with them but the cache.
- Routes: a match is a look into tables and costs about the same in a large configuration as in a small one.
- A stampede of requests with tokens never seen before makes one exchange per subject, however many ask at once.
- Memory does not depend on the length of a body; it is what is on the way between two sockets, and bounded. With
  uvloop an upload holds about twice as much, since it is handed larger pieces at once.

## Make it faster

`pip install 'token-exchange-sidecar[speed]'` adds uvloop, which is used where it can be imported. Python 3.12 and later
start a request's task without a turn of the event loop.

## What was done, and what was not kept

| what | gain, CPU per small request |
| --- | --- |
| a request's fields looked up by name, what many requests share made once | 8 % |
| collections of garbage less often, without what stays | 3 % with one subject, 7 % with 1,000 |
| uvloop | 5 to 10 % |
| response heads taken apart by the grammar that admits them, without a second parser | 2 % |
| a timer only for the part of a body that has not come | 6 to 10 % of a 64 KiB upload |

Not kept, since no gain could be measured: leaving objects out of garbage collections without making those less
frequent; looking through all fields of a response at once for what must not be returned.

Not tried, on purpose. Remembering what is asked of the authorization server by subject token would save some 2 %, but
the key of that memory would have to name everything an exchange depends on, and one thing forgotten would hand out
somebody else's token. Making values frozen takes 6 % of the time, and is what keeps a decision as it was made. A server
protocol of our own in place of aiohttp's would save more; how that one reads requests has been hardened by years of
attacks.
"""


def page() -> str:
    """Return the page."""
    results = load()
    cpu = results.cpu_us[SMALL][OURS]
    return _PAGE.format(
        plot=PLOT.name,
        taken=results.taken,
        machine=results.machine,
        tables=tables(results),
        cpu=cpu,
        rate=round(1e6 / cpu, -2),
    )
