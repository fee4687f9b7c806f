"""The images of messages, for mail programs: `/m/<hash>.<extension>`."""

import re
from http import HTTPStatus
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from campaign_pipeline.messages.media import EXTENSIONS

_TYPES = {extension: f"image/{kind}" for kind, extension in EXTENSIONS.items()}
_FILE = re.compile(rf"[0-9a-f]{{32}}\.({'|'.join(_TYPES)})")

HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",  # the name is the content's hash
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",  # web mail shows it in its own pages
    "X-Content-Type-Options": "nosniff",
}


def media_route(folder: Path) -> Route:
    """Serves the files of `folder`, and only those with names as media have."""

    async def show(request: Request) -> Response:
        found = _FILE.fullmatch(request.path_params["file"])
        if found and (folder / found[0]).is_file():
            return FileResponse(folder / found[0], media_type=_TYPES[found[1]], headers=HEADERS)
        return PlainTextResponse("there is no such image", HTTPStatus.NOT_FOUND)

    return Route("/m/{file}", show, methods=["GET"])
