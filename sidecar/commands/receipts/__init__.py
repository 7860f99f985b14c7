"""``sidecar receipts``: filters receipts, tells one request's story over several gateways, and verifies their chain.

Here are its arguments and what is printed; ``read`` has the lines, ``select`` the filters, ``story`` and ``tell`` the
story, ``verify`` the chain. Nothing here is in the serving process.
"""

import argparse
import re
import sys
from datetime import datetime
from pathlib import Path

from sidecar.commands.receipts.read import Source, Unreadable
from sidecar.commands.receipts.select import Selection, line, moment
from sidecar.commands.receipts.story import TooMany, gather
from sidecar.commands.receipts.tell import sentences
from sidecar.commands.receipts.verify import Verification
from sidecar.observe import chain
from sidecar.observe.receipts import hashed


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="receipts, oldest first; .gz is decompressed")
    parser.add_argument("--subject", metavar="SUB", help="only those of this subject")
    parser.add_argument("--subject-key-file", metavar="FILE", help="the key of hashed subjects, to look for --subject")
    parser.add_argument("--actor", metavar="SUB", help="only those with this actor, wherever in the chain")
    parser.add_argument("--route", metavar="NAME", help="only those of this route")
    parser.add_argument("--decision", metavar="WORD", help="only those with this decision, such as allowed")
    parser.add_argument("--since", type=_moment, metavar="TIME", help="only those from then on (ISO 8601, or UTC)")
    parser.add_argument("--until", type=_moment, metavar="TIME", help="only those before then")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: lines as they are")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument(
        "--story", metavar="ID", help="tell all about a request, exchange, trace or token, over all files"
    )
    asked.add_argument("--verify", action="store_true", help="verify the chain of all files, one after another")
    parser.add_argument("--after", type=_digest, metavar="DIGEST", help="with --verify: what the first line follows")
    parser.add_argument("--anchor", type=_digest, metavar="DIGEST", help="with --verify: a line must have this digest")


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked. 0 where all was read, 1 where a line is bad, or no story found, 2 for bad input."""
    source = Source(arguments.files)
    try:
        if arguments.verify:
            return _verify(source, arguments.after, arguments.anchor)
        if arguments.story is not None:
            return _story(source, arguments.story)
        return _print(source, _selection(arguments), arguments.format)
    except (Unreadable, TooMany) as error:
        print(error, file=sys.stderr)
        return 2


def _print(source: Source, selection: Selection, form: str) -> int:
    for raw, receipt in source.receipts():
        if selection.takes(receipt):
            print(raw.decode("utf-8").rstrip("\r\n") if form == "json" else line(receipt))
    return 1 if source.bad else 0


def _story(source: Source, identifier: str) -> int:
    if any(not Path(name).is_file() and Path(name).exists() for name in source.files):
        raise Unreadable("--story reads its files more than once: each must be a regular file")
    hops = gather(source, identifier)
    if not hops:
        print(f"no receipt has {identifier}", file=sys.stderr)
        return 1
    for number, hop in enumerate(hops, 1):
        print(f"{number}. {hop.begun:%Y-%m-%d %H:%M:%S} UTC")
        for sentence in sentences(hop):
            print(f"   {sentence}")
    return 1 if source.bad else 0


def _verify(source: Source, after: str | None, anchor: str | None) -> int:
    verification = Verification(after or chain.NONE, anchor)
    found = 0
    for finding in verification.findings(source.lines()):
        found += 1
        print(finding)
    print(f"{verification.lines} lines, {found} findings, digest of the last line {verification.head}")
    return 1 if found else 0


def _selection(arguments: argparse.Namespace) -> Selection:
    subject = arguments.subject
    if subject is not None and arguments.subject_key_file is not None:
        try:
            subject = hashed(Path(arguments.subject_key_file).read_bytes(), subject)
        except OSError:
            raise Unreadable(f"--subject-key-file: {arguments.subject_key_file} can't be read") from None
    return Selection(subject, arguments.actor, arguments.route, arguments.decision, arguments.since, arguments.until)


def _moment(text: str) -> datetime:
    if (when := moment(text)) is None:
        raise argparse.ArgumentTypeError(f"not a date or time: {text!r}")
    return when


def _digest(text: str) -> str:
    if re.fullmatch("[0-9a-f]{64}", text) is None:
        raise argparse.ArgumentTypeError("not the 64 hexadecimal digits of a SHA-256")
    return text
