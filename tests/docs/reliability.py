"""The page about reliability: what is promised, and what the tests of each promise measured last."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.reliability.figures import Kept, load

_PAGE: Final = """# Reliability

What can be relied on while other things fail, as numbers. Each line is a test that fails when the promise is broken:
`make reliability` runs them in full and writes the figures of this page, `make test ARGS="-m reliability"` runs the
same tests for a shorter time.

| promise | measured |
| --- | --- |
{rows}

## How it is measured

The gateway, the authorization server and the upstream are processes of their own. Before the authorization server and
before the upstream stands a proxy that makes them fail as it is told: it refuses connections, never answers, answers
late, drops a request after it was read, cuts an answer off at a random byte, changes some of its bytes, or answers 5xx
or 429 by itself. Callers send at a rate that does not depend on how fast answers come. Each knows which answer is
theirs to the last byte, so that somebody else's answer, or a piece of one, is noticed.

- *Warm* users have a cached token that outlasts the trouble, *cold* ones need an exchange. How long a cached token can
  outlast an outage is for `refresh_ahead` to say: with 0.8, a fifth of a token's usable time is left when it is first
  renewed.
- What is counted is exact. Times come from a machine of 2 cores that had much other work while they were taken; they
  are upper bounds of what a quiet machine shows.
- The faults of a run follow from a number. A run that fails prints it, and `SEED=… make soak` repeats it.

## Chaos

`make soak ARGS=1800` keeps up a steady load for half an hour, while one fault follows another before the authorization
server and before the upstream of one route, the configuration is reloaded. At its end:

- no request of a warm user on another route has failed;
- no answer was somebody else's, and none that was cut looked whole;
- no `POST` came to the upstream twice;
- every user is answered again, also those whose exchange failed: no key is stuck;
- nothing is under way any more, no more files are open than before, and no error was logged;
- memory has stopped growing.

## What is not promised

- A gateway that is killed cuts off the answers that are on their way, and those who call it until it is started again
  are refused connections. Its cache is empty then.
- An upstream's answer without `Content-Length` and chunks ends with its connection. If that is closed in an orderly way
  before its time, nobody can tell.
- A `GET` without a body that went out on a kept connection, which ended without a byte of an answer, is sent a second
  time (RFC 9110 §9.2.2). Nothing else is.
- A clock that is wrong by more than a token's life, and stays so, can't judge new tokens: exchanges then fail. Tokens
  that are cached are kept by a clock that does not jump.
- Overload of the CPU itself. Limits refuse what is too much at a small part of what an answer costs; callers that send
  several times what a core can refuse fill the queues of the kernel.
"""


@dataclass(frozen=True, slots=True)
class Promise:
    """One line. figure: the sentence, with the names of what was recorded."""

    promise: str
    figure: str


#: By the name under which a test records its numbers.
PROMISES: Final[Mapping[str, Promise]] = {
    "cold start": Promise(
        "1,000 cold requests of one subject, the first of whom leaves: one exchange answers the others",
        "{requests:,.0f} requests, {exchanges:.0f} exchange, {answers:,.0f} answers",
    ),
    "outage": Promise(
        "The authorization server is down for a minute: no warm user fails; cold ones are answered 503 within 20 ms "
        "once the breaker is open, and served within 5 s of its return",
        "{outage_seconds:.0f} s: {warm_failed:.0f} of {warm:,.0f} warm requests failed; 503 after {cold_p50_ms:.1f} ms "
        "(median), {cold_p99_ms:.1f} ms (99 %); served {back_seconds:.1f} s after its return",
    ),
    "outage, silent": Promise(
        "The same while it accepts connections and never answers; but for one cold request a second, which tries it",
        "{outage_seconds:.0f} s: {warm_failed:.0f} of {warm:,.0f} warm requests failed; {cold_504:.0f} of {cold:.0f} "
        "cold ones waited in vain; 503 after {cold_p50_ms:.1f} ms (median), {cold_p99_ms:.1f} ms (99 %); "
        "served {back_seconds:.1f} s after its return",
    ),
    "half failing": Promise(
        "It fails half of the time: it is asked at most 1.2 times as often as users need it; no warm user fails",
        "asked {seen:,.0f} times for {wanted:,.0f} cold requests, {ratio:.2f} times as often; {warm_failed:.0f} of "
        "{warm:,.0f} warm requests failed",
    ),
    "retry-after": Promise(
        "It answers `Retry-After: 5`: it is not asked in these 5 seconds",
        "{exchanges:.0f} exchanges, while {asked:,.0f} cold requests were answered 503 and {warm_failed:.0f} of "
        "{warm:,.0f} warm ones failed",
    ),
    "lifetimes": Promise(
        "Steady load over 20 lifetimes of a token: one exchange for each lifetime and key, and nobody waits after the "
        "first",
        "{lifetimes:.0f} lifetimes, {users:.0f} users, {requests:,.0f} requests: {per_lifetime:.2f} exchanges each; "
        "{waited:.0f} requests waited, the first of each user; {failed:.0f} failed",
    ),
    "same second": Promise(
        "10,000 tokens end in the same second: exchanges are spread, and no request waits",
        "{renewed:,.0f} of {tokens:,.0f} renewed over {over_seconds:.0f} s, at most {most_in_a_second:,.0f} in one; "
        "{waited:.0f} requests waited, {failed:.0f} failed; 99 % within {p99_before_ms:.0f} ms before, "
        "{p99_renewing_ms:.0f} ms meanwhile",
    ),
    "distinct tokens": Promise(
        "A million distinct tokens: no more are kept than configured, memory stays below 120 MiB",
        "{tokens:,.0f} tokens, at most {most_entries:,.0f} of {configured:,.0f} entries; {half_way_mib:.1f} MiB half "
        "way, {plateau_mib:.1f} MiB at most",
    ),
    "reloads": Promise(
        "100 reloads under load: no request fails",
        "{reloads:.0f} reloads and {refused:.0f} refused ones, {requests:,.0f} requests, {failed:.0f} failed; "
        "{more_files:+.0f} open files, {more_mib:+.1f} MiB",
    ),
    "rotations": Promise(
        "20 rotations of a secret under load, an exchange for each request: no request fails",
        "{rotations:.0f} rotations, {requests:,.0f} exchanges, {failed:.0f} failed",
    ),
    "rolls": Promise(
        "10 rolls under load, the next one ready before the last one leaves: no request fails",
        "{rolls:.0f} rolls, {requests:,.0f} requests, {failed:.0f} failed",
    ),
    "frozen upstream": Promise(
        "An upstream freezes: its requests are answered 504 in time, other routes do not notice",
        "{own_504:.0f} of {own:.0f} answered 504, 99 % within {own_p99_ms:,.0f} ms of {response_timeout_ms:,.0f} ms; "
        "{others_failed:.0f} of {others:,.0f} requests on another route failed",
    ),
    "doubled posts": Promise(
        "Connections to the upstream break while it is sent a `POST`: none comes twice",
        "{faults:,.0f} faults in {sent:,.0f} requests, {doubled:.0f} came twice",
    ),
    "cut answers, length": Promise(
        "An upstream's answer with `Content-Length` breaks off: it never looks whole",
        "{faults:,.0f} faults in {sent:,.0f} requests, {shown_whole:.0f} shown as whole",
    ),
    "cut answers, chunked": Promise(
        "The same with a chunked answer",
        "{faults:,.0f} faults in {sent:,.0f} requests, {shown_whole:.0f} shown as whole",
    ),
    "overload": Promise(
        "Three times as many requests as fit into `max_in_flight`: at least 90 % of what fits is answered, the rest is "
        "refused at once, and nothing is refused 2 s after it is over",
        "{good_per_second:.0f} answers a second of {peak_per_second:.0f} at its limit, {goodput:.0%}; 99 % of them "
        "within {admitted_p99_ms:.0f} ms, {peak_p99_ms:.0f} ms at its limit; refused after {refused_p50_ms:.1f} ms; "
        "{failed_after:.0f} failed afterwards",
    ),
    "clock jumps": Promise(
        "The wall clock jumps by an hour, either way: no request fails, no token is asked for, no dead one is used",
        "{jumps:.0f} jumps, {failed:.0f} of {requests:,.0f} requests failed, {exchanges:.0f} exchanges, {dead:.0f} "
        "uses of a dead token",
    ),
    "clock behind": Promise(
        "It stays an hour behind: tokens end when they should",
        "{seconds:.0f} s, {renewed:,.0f} tokens renewed, {failed:.0f} of {requests:,.0f} requests failed, {dead:.0f} "
        "uses of a dead token",
    ),
    "killed": Promise(
        "The gateway is killed (`SIGKILL`) under load: every token that reached the upstream is in a receipt; the next "
        "one serves at once",
        "{kills:.0f} kills, {missing:.0f} of {exchanges:,.0f} tokens in no receipt, {torn:.0f} lines torn; served at "
        "most {restart_seconds:.1f} s after a new start began",
    ),
    "chaos": Promise(
        "Half an hour of [chaos](#chaos): all of it holds, and memory does not grow",
        "{minutes:.0f} minutes, {requests:,.0f} requests, {faults:,.0f} of which met a fault, {reloads:.0f} reloads: "
        "{warm_failed:.0f} of {warm:,.0f} warm requests failed, {never:.0f} answers that may not be, {doubled:.0f} of "
        "{posts:,.0f} `POST` came twice; {more_files:+.0f} open files; {half_way_mib:.1f} MiB half way, "
        "{end_mib:.1f} MiB at the end",
    ),
}


def page() -> str:
    """Return the page."""
    kept = load()
    return _PAGE.format(rows="\n".join(_row(promise, kept.get(name)) for name, promise in PROMISES.items()))


def _row(promise: Promise, kept: Kept | None) -> str:
    figure = "not measured" if kept is None else f"{promise.figure.format(**kept.numbers)} ({kept.taken})"
    return f"| {promise.promise} | {figure} |"
