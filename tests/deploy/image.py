"""The image's file system, made by the very steps of the Dockerfile, with this machine's Python for its base image.

The instructions are read from the file and played: what COPY takes from the build context goes to the same place, what
RUN runs is run. What only an image builder can do (pulling a base, making layers) is left out.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]
DOCKERFILE: Final = TOP / "deploy" / "image" / "Dockerfile"
STEP_TIMEOUT: Final = 300.0


@dataclass(frozen=True, slots=True)
class Image:
    """root: the file system. What the last stage says of how it is run. digest: of the tree, as assemble printed it."""

    root: Path
    user: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    digest: str = field(compare=False)


def instructions() -> list[tuple[str, str]]:
    """Every instruction of the Dockerfile and its argument."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def build(folder: Path) -> Image:
    """Play the Dockerfile in an empty folder. AssertionError: it uses what can't be played here."""
    venv.create(folder / "python", with_pip=True, symlinks=True)
    places = {"/src": folder / "src", "/site": folder / "site", "/root-of-image": folder / "root"}
    work, stage, output = folder / "src", "", ""
    said: dict[str, str] = {}
    for name, argument in instructions():
        match name:
            case "FROM":
                stage = argument.partition(" AS ")[2]
            case "WORKDIR":
                work = places[argument]
                work.mkdir()
            case "COPY" if stage == "build":
                _copy(argument.split(), work)
            case "COPY":
                assert argument == "--from=build /root-of-image /"
            case "RUN":
                output = _run(json.loads(argument), folder / "python" / "bin" / "python", places, work)
            case "USER" | "ENTRYPOINT" | "CMD":
                said[name] = argument
            case _:
                assert name in {"ARG", "ENV", "LABEL", "EXPOSE", "STOPSIGNAL"}, name
    return Image(
        folder / "root",
        said["USER"],
        tuple(json.loads(said["ENTRYPOINT"])),
        tuple(json.loads(said["CMD"])),
        output.strip().splitlines()[-1],
    )


def _copy(arguments: list[str], work: Path) -> None:
    *sources, destination = arguments
    into = work / destination
    for source in sources:
        path = TOP / source
        if path.is_dir():
            shutil.copytree(path, into, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into / path.name)


def _run(argv: list[str], python: Path, places: dict[str, Path], work: Path) -> str:
    assert argv[0] == "python"
    for inside, here in places.items():
        argv = [re.sub(rf"^((?:--\w+=)?){re.escape(inside)}$", rf"\g<1>{here}", argument) for argument in argv]
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "SOURCE_DATE_EPOCH": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP"))},
    }
    done = subprocess.run(
        [str(python), *argv[1:]], cwd=work, env=env, capture_output=True, text=True, timeout=STEP_TIMEOUT, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
