"""Takes the pictures of the status page that the documentation shows: ``python -m tests.interop.pictures``."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.interop.status_scene import scene
from tests.support.browser import browser, chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SIZES = {"desk": (1280, 4000), "phone": (390, 1688)}


async def main() -> int:
    """Write one for each width and each scheme."""
    program = chromium()
    if program is None:
        print("there is no Chromium here", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orders-") as folder:
        async with scene(Path(folder)) as it, browser(program, Path(folder)) as page:
            await it.day()
            await it.bad_day()
            await page.open(it.url)
            await page.until("document.querySelectorAll('.matters li').length > 4")
            for name, (width, height) in SIZES.items():
                for dark in (False, True):
                    await page.look(width, dark=dark)
                    picture = await page.picture(height)
                    (FOLDER / f"status-{name}-{'dark' if dark else 'light'}.png").write_bytes(picture)
            if page.complaints:
                print(*page.complaints, sep="\n", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
