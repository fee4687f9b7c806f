"""The `twilio` SDK's client on our transport: another base URL, a timeout always, nothing retried or followed."""

import logging
from urllib.parse import urlencode, urlsplit

from aiohttp import encode_basic_auth
from pydantic import SecretStr
from twilio.http import AsyncHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from campaign_pipeline.dispatch.channels.transport import Transport


class OverTransport(AsyncHttpClient):
    """Sends every request to the transport's base URL instead of the host in its URL. Raises as Transport.request."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True)
        self._transport = transport

    async def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        asked = urlsplit(uri)
        query = "&".join(filter(None, (asked.query, urlencode(params or {}, doseq=True))))
        answer = await self._transport.request(
            method,
            asked._replace(scheme="", netloc="", query=query).geturl(),
            headers=(headers or {}) | ({"Authorization": encode_basic_auth(*auth)} if auth else {}),
            body=urlencode(data, doseq=True).encode() if data else None,
        )
        return Response(answer.status, answer.body.decode(), answer.headers)


def sdk_client(account: str, token: SecretStr, transport: Transport) -> Client:
    """The SDK's client, of which the `_async` methods are to be used."""
    return Client(account, token.get_secret_value(), http_client=OverTransport(transport))
