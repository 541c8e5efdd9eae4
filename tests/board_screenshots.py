"""`make screenshots`: the board of a simulated shop, as docs/images/board-*.png."""

import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from agents.board.case_query import CaseQuery
from agents.board.index_reading import IndexReader
from agents.commanding import Written
from schemas.vocabulary import RuleId
from tests.board_browser import CHROMIUM, TOKEN, WITHOUT_CHROMIUM, chromium, serving
from tests.board_shop import ENDED_AT, index_of, shop_records

IMAGES = Path(__file__).parents[1] / "docs" / "images"
RETURNS = 1_200


class Shot(NamedTuple):
    """One picture."""

    name: str
    address: str
    width: int = 1_280
    height: int = 860
    scheme: Literal["light", "dark"] = "light"
    language: str = "en-GB"


def shots(file: Path) -> list[Shot]:
    """The pictures, with a case and a return that have something to show."""
    reader = IndexReader(file)
    query = CaseQuery(rule=RuleId.DELIVERED_NOT_CHECKED_IN)
    cases = reader.cases(query, ENDED_AT).cases
    case = next(one for one in cases if one.level == 3 and reader.journey(one.return_id) is not None)
    return [
        Shot("cases", "/"),
        Shot("case", f"/cases/{case.case_id}", height=1_000),
        Shot("return", f"/returns/{case.return_id}", height=820),
        Shot("kpis", "/kpis?by=carrier", height=960),
        Shot("feeds", "/feeds", scheme="dark"),
        Shot("phone", f"/cases/{case.case_id}", width=390, height=844, language="fr-FR"),
    ]


async def _nobody(_written: Written) -> None:
    """There is no worker."""


def main() -> int:
    """Take them all."""
    if CHROMIUM is None:
        sys.stderr.write(WITHOUT_CHROMIUM + "\n")
        return 1
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="returnwatch-board-") as directory:
        file = Path(directory) / "index.sqlite"
        writer = index_of(file, shop_records(RETURNS))
        with serving(file, _nobody) as address, chromium() as browser:
            for shot in shots(file):
                page = browser.new_page(
                    viewport={"width": shot.width, "height": shot.height},
                    color_scheme=shot.scheme,
                    locale=shot.language,
                )
                if shot.name == "case":
                    page.goto(f"{address}/sign-in")
                    page.get_by_label("Your id").fill("ops-7")
                    page.get_by_label("Token").fill(TOKEN)
                    page.keyboard.press("Enter")
                    page.wait_for_url(f"{address}/")
                page.goto(address + shot.address)
                page.screenshot(path=IMAGES / f"board-{shot.name}.png")
                page.close()
        writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
