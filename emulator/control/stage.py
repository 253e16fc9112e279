"""The demo's stage, `/demo`: the service's own page beside the phone, with a new company for each demo.

The service tells in a file where it listens and which key it takes: the `running.json` of `python -m app.local`.
"""

from __future__ import annotations

import itertools
import json
import random
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from emulator.control.guard import PAGE, on_page

LOCALES = Path(__file__).parents[2] / "frontend" / "locales"
"""The languages of the service's page, with the names in the menus of the app."""
WORDS = PAGE.parent / "words"
"""The phone's own words, in the same languages."""
COMPANIES = ("Salon Aurora", "Café Linden", "Studio Fir", "Barber & Birch", "Yoga Loft", "Dental Cedar", "Bakery Elm")
NUMBERS = {
    "ar": "97150555xxxx",
    "de": "4915123xxxxxx",
    "en": "1201555xxxx",
    "es": "34612555xxx",
    "fr": "33612555xxx",
    "he": "97250555xxxx",
    "hi": "9198765xxxxx",
    "id": "62812555xxxx",
    "it": "39312555xxxx",
    "kk": "7701555xxxx",
    "pt-BR": "55119555xxxxx",
    "ru": "7900555xxxx",
    "tr": "90531555xxxx",
    "uk": "38050555xxxx",
}
"""The numbers of made-up phones, by language; each x is a digit of chance."""
_PATIENCE_SECONDS = 40


class NotThere(Exception):
    """The service does not answer, or not yet; the text says which."""


@dataclass(frozen=True, slots=True)
class Company:
    """A company of the demo: its name, its phone (digits), and the link that its owner opens."""

    id: str
    name: str
    number: str
    url: str


def languages() -> list[str]:
    """Those of the page."""
    return sorted(path.stem for path in LOCALES.glob("*.json"))


def spoken(wish: str) -> str:
    """The language that fits a wish such as `pt`; else English."""
    known = [wish, *(one for one in languages() if one.partition("-")[0] == wish.partition("-")[0].lower())]
    return next((one for one in known if one in languages()), "en")


def words(language: str) -> dict[str, str]:
    """The phone's words, and those that it shares with the page: menus, the language's name and direction."""
    ours: dict[str, str] = json.loads((WORDS / f"{language}.json").read_text(encoding="utf-8"))
    page = json.loads((LOCALES / f"{language}.json").read_text(encoding="utf-8"))
    return ours | {key: text for key, text in page.items() if key.startswith(("language.", "menu.", "bar."))}


def made_up_number(language: str) -> str:
    """A phone's number, by chance, as the country of the language writes them."""
    return "".join(random.choice("123456789") if one == "x" else one for one in NUMBERS[language])


class Stage:
    """Handlers below `/demo`. `told`: the service's file; None if there is no service, only the phone."""

    def __init__(self, told: Path | None) -> None:
        self._told = told
        self._company: Company | None = None
        self._names = itertools.cycle(random.sample(COMPANIES, k=len(COMPANIES)))

    def routes(self) -> list[Route]:
        return [
            Route("/", self.home),
            Route("/words/{language}", self.words),
            Route("/demo", self.page),
            Route("/demo/company", self.company, methods=["GET", "POST"]),
            Route("/demo/screen", self.screen),
        ]

    async def home(self, _: Request) -> Response:
        return RedirectResponse("/phone/" if self._told is None else "/demo")

    async def words(self, request: Request) -> Response:
        language = spoken(request.path_params["language"])
        names = {one: words(one)["language.name"] for one in languages()}
        return JSONResponse({"language": language, "words": words(language), "languages": names})

    async def page(self, _: Request) -> Response:
        return on_page(FileResponse(PAGE / "index.html"))

    async def company(self, request: Request) -> Response:
        """The company of this demo; POST makes the next one."""
        if request.method == "POST" or self._company is None:
            self._company = await self._new_company(request)
        return JSONResponse(asdict(self._company))

    async def _new_company(self, request: Request) -> Company:
        name, number = next(self._names), made_up_number(spoken(request.query_params.get("language", "")))
        company = f"demo-{secrets.token_hex(3)}"
        asked = {
            "companyId": company,
            "companyName": name,
            "phoneNumber": f"+{number}",
            "embedOrigin": f"http://{request.headers['host']}",
        }
        made = (await self._ask("POST", "/api/v1/links", body=asked)).json()
        # Under the name by which the browser came here, so that both pages are of one site and share the language.
        return Company(company, name, number, made["url"].replace("//127.0.0.1", f"//{request.url.hostname}", 1))

    async def screen(self, request: Request) -> Response:
        """State of the page: its state, QR and code. With `tag`, waits until that is old."""
        if self._company is None:
            raise NotThere("there is no company yet")
        tag = request.query_params.get("tag")
        path = f"/api/v1/companies/{self._company.id}/attempts/current"
        answer = await self._ask(
            "GET", f"{path}?wait=25" if tag else path, headers={"if-none-match": tag} if tag else {}
        )
        shown = {"tag": tag} if answer.status_code == 304 else self._shown(answer)
        return JSONResponse(shown | {"company": self._company.id})

    @staticmethod
    def _shown(answer: httpx.Response) -> dict[str, Any]:
        view = answer.json()
        return {"tag": answer.headers["etag"]} | {key: view.get(key) for key in ("state", "qr", "code", "failure")}

    async def _ask(self, method: str, path: str, *, body: object = None, headers: Any = None) -> httpx.Response:
        if self._told is None:
            raise NotThere("there is no service here, only a phone")
        try:
            told = json.loads(self._told.read_text(encoding="utf-8"))
            base = f"http://{'[::1]' if ':' in told['HOST'] else '127.0.0.1'}:{told['PORT']}"
            key = told["API_KEYS"].replace(",", " ").split()[0]
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=_PATIENCE_SECONDS) as client:
                answer = await client.request(
                    method, path, json=body, headers={"authorization": f"Bearer {key}", **(headers or {})}
                )
        except (OSError, ValueError, KeyError, httpx.HTTPError) as error:
            raise NotThere("the service does not answer") from error
        if answer.is_error:
            raise NotThere(f"the service answers {answer.status_code}: {answer.text}")
        return answer
