"""What the demo, tests and the chaos suite ask of a running sandbox, here or in another process."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import orjson

from campaign_pipeline.core.errors import Inconsistent, InvalidInput
from campaign_pipeline.sandbox.behaviour import Behaviour
from campaign_pipeline.sandbox.faults import Fault
from campaign_pipeline.sandbox.loopback import require_loopback


@dataclass(frozen=True)
class SandboxClient:
    """The control routes of the sandbox at `url`."""

    url: str
    timeout_seconds: float = 15.0

    def healthy(self) -> bool:
        """Whether it answers."""
        try:
            return self._call("GET", "health")["status"] == "ok"
        except OSError:
            return False

    def smtp_port(self) -> int:
        """The port on which it takes mail."""
        return int(self._call("GET", "health")["smtp_port"])

    def stats(self) -> dict[str, Any]:
        """{physical_sends: {provider: n}, messages, duplicates: {message_id: n}, duplicated_messages, scheduled,
        callbacks: {pending, posted, retried, failed, refused, events, lost, duplicated}}"""
        return self._call("GET", "stats")

    def idle(self) -> bool:
        """Whether everything that was to be posted has been posted (or given up)."""
        return bool(self._call("GET", "idle")["idle"])

    def wait_until_idle(self, seconds: float = 60.0) -> None:
        self._wait(self.idle, seconds, "the sandbox still has events to post")

    def fault(self, fault: Fault) -> None:
        self._call("POST", "faults", fault.model_dump(mode="json"))

    def faults(self) -> list[dict[str, Any]]:
        """Each fault in force, with `left` (requests) and `hits`."""
        return self._call("GET", "faults")

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def behave(self, behaviour: Behaviour) -> None:
        self._call("POST", "behaviour", behaviour.model_dump(mode="json"))

    def receive(self, sender: str, to: str, body: str) -> str:
        """A contact texts us; the SID of the message."""
        return str(self._call("POST", "inbound", {"from": sender, "to": to, "body": body})["sid"])

    def release(self) -> None:
        """Let the time of everything scheduled have come."""
        self._call("POST", "release")

    def reset(self) -> None:
        self._call("POST", "reset")

    def _call(self, method: str, path: str, data: Any = None) -> Any:
        require_loopback(self.url, "the sandbox's URL")
        body = None if data is None else orjson.dumps(data)
        request = Request(f"{self.url}/sandbox/{path}", data=body, method=method)  # noqa: S310  (loopback, above)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=self.timeout_seconds) as answer:
                return orjson.loads(answer.read())
        except HTTPError as error:
            with error:
                raise InvalidInput(f"the sandbox refused {method} {path}: {error.read().decode()}") from None

    def _wait(self, condition: Any, seconds: float, problem: str) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Inconsistent(f"{problem} after {seconds:g} s", f"Look at {self.url}/sandbox/stats.")
            time.sleep(0.05)
