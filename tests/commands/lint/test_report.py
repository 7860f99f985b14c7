import json

import pytest

from sidecar.commands.lint.report import FORMATS, Report
from sidecar.commands.lint.verdict import Lint
from sidecar.config.problems import ConfigProblem

ERROR = ConfigProblem("a,b:c.yaml", 3, 7, "routes.0.name", "50% wrong:\r\nreally, so")
NO_PATH = ConfigProblem("x.yaml", 1, 1, "", "there is no such file")
LINT = Lint(ConfigProblem("x.yaml", 5, 2, "routes.0.exchange", "lets requests through"), "exchange-none")
GOOD = Report("x.yaml", routes=2)
ACCEPTING = Report("x.yaml", routes=2, accepted=1)
LINTED = Report("x.yaml", routes=2, lints=(LINT,), accepted=3)
BROKEN = Report("x.yaml", errors=(ERROR, NO_PATH))


@pytest.mark.parametrize(("report", "status"), [(GOOD, 0), (ACCEPTING, 0), (LINTED, 1), (BROKEN, 2)])
def test_the_exit_status(report: Report, status: int) -> None:
    assert report.status == status


@pytest.mark.parametrize(
    ("report", "out", "err"),
    [
        (GOOD, "x.yaml: 2 routes, no problems\n", ""),
        (ACCEPTING, "x.yaml: 2 routes, no problems, 1 accepted\n", ""),
        (
            LINTED,
            (
                "x.yaml:5:2: routes.0.exchange: lets requests through [exchange-none]\n"
                "x.yaml: 2 routes, 1 to look at, 3 accepted\n"
            ),
            "",
        ),
        (BROKEN, "", f"{ERROR}\nx.yaml:1:1: there is no such file\n"),
    ],
)
def test_text(report: Report, out: str, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    FORMATS["text"](report)
    assert capsys.readouterr() == (out, err)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    FORMATS["json"](LINTED)
    assert json.loads(capsys.readouterr().out) == {
        "file": "x.yaml",
        "problems": [
            {
                "severity": "warning",
                "rule": "exchange-none",
                "file": "x.yaml",
                "line": 5,
                "column": 2,
                "path": "routes.0.exchange",
                "message": "lets requests through",
            }
        ],
        "accepted": 3,
    }
    FORMATS["json"](BROKEN)
    out, err = capsys.readouterr()
    problems = json.loads(out)["problems"]
    assert [(each["severity"], each["rule"], each["line"]) for each in problems] == [
        ("error", None, 3),
        ("error", None, 1),
    ]
    assert problems[0]["message"] == ERROR.message
    assert err == ""


def test_github(capsys: pytest.CaptureFixture[str]) -> None:
    for report in (BROKEN, LINTED, GOOD):
        FORMATS["github"](report)
    assert capsys.readouterr().out.splitlines() == [
        "::error file=a%2Cb%3Ac.yaml,line=3,col=7,title=sidecar check::routes.0.name: 50%25 wrong:%0D%0Areally, so",
        "::error file=x.yaml,line=1,col=1,title=sidecar check::there is no such file",
        "::warning file=x.yaml,line=5,col=2,title=exchange-none::routes.0.exchange: lets requests through",
    ]
