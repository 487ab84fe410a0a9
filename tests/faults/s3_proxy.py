"""A proxy in front of an S3 server that does to chosen requests what networks and services do."""

from __future__ import annotations

import asyncio
import math
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

FOR_EVER = math.inf
_CODES = {
    403: "AccessDenied",
    404: "NoSuchKey",
    429: "TooManyRequests",
    500: "InternalError",
    503: "SlowDown",
}
_OF_ONE_CONNECTION = {"connection", "expect", "keep-alive", "transfer-encoding"}


@dataclass
class Fault:
    """What happens to the next ``times`` requests of ``method``: see the methods of `S3Proxy`."""

    name: str
    method: str
    times: float = 1
    argument: float = 0


class S3Proxy:
    """Passes requests on to ``upstream``, but for those that a fault is waiting for.

    Faults: ``status`` (an error instead of an answer), ``delay`` (argument: seconds), ``hang``,
    ``reset`` (the connection breaks before anything happens), ``truncated`` (half a body, then a
    broken connection), ``flip`` (one bit of the body), ``lost`` (carried out, but not answered).
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._waiting: list[Fault] = []
        self.met: Counter[tuple[str, str]] = Counter()
        self.requests: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._stopping: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._listening = threading.Event()
        self.url = ""

    def __enter__(self) -> S3Proxy:
        self._thread.start()
        assert self._listening.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping)
        self._thread.join(20)
        self._loop.close()

    def inject(self, *faults: Fault) -> None:
        """Replace what is waiting, and count anew."""
        self._waiting = list(faults)
        self.met.clear()
        self.requests.clear()

    async def _serve(self) -> None:
        stopped = asyncio.Event()
        self._stopping = stopped.set
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            application = web.Application(client_max_size=2**30)
            application.router.add_route("*", "/{path:.*}", self._answer)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            self._listening.set()
            await stopped.wait()
            hanging = asyncio.all_tasks() - {asyncio.current_task()}
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            await runner.cleanup()

    def _fault_of(self, method: str) -> Fault | None:
        self.requests[method] += 1
        for fault in self._waiting:
            if fault.method == method and fault.times > 0:
                fault.times -= 1
                self.met[fault.name, method] += 1
                return fault
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self._fault_of(request.method)
        act: Callable[..., Coroutine[Any, Any, web.StreamResponse]] = getattr(
            self, f"_{fault.name}" if fault else "_pass_on"
        )
        return await act(request, fault)

    async def _pass_on(
        self, request: web.Request, _: Fault | None, change: Callable[[bytes], bytes] = bytes
    ) -> web.Response:
        """Carry a request out; ``change`` is done to the body that goes up."""
        kept = {k: v for k, v in request.headers.items() if k.lower() not in _OF_ONE_CONNECTION}
        body = change(await request.read())
        url = f"{self._upstream}{request.raw_path}"
        async with self._session.request(
            request.method, aiohttp.client.URL(url, encoded=True), headers=kept, data=body
        ) as answer:
            headers = {
                k: v for k, v in answer.headers.items() if k.lower() not in _OF_ONE_CONNECTION
            }
            return web.Response(status=answer.status, headers=headers, body=await answer.read())

    async def _status(self, request: web.Request, fault: Fault) -> web.Response:
        await request.read()
        code = _CODES[int(fault.argument)]
        text = f"<Error><Code>{code}</Code><Message>injected CANARY</Message></Error>"
        return web.Response(status=int(fault.argument), body=text, content_type="application/xml")

    async def _delay(self, request: web.Request, fault: Fault) -> web.Response:
        await asyncio.sleep(fault.argument)
        return await self._pass_on(request, None)

    async def _hang(self, request: web.Request, _: Fault) -> web.Response:
        await request.read()
        await asyncio.sleep(3600)
        raise AssertionError("the client waited for an hour")

    async def _reset(self, request: web.Request, _: Fault) -> web.Response:
        _break(request)
        return web.Response()

    async def _truncated(self, request: web.Request, _: Fault) -> web.StreamResponse:
        if request.method == "PUT":  # The service never sees the whole of it.
            await request.content.readany()
            return await self._reset(request, _)
        answer = await self._pass_on(request, None)
        assert isinstance(answer.body, bytes)
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        await response.write(answer.body[: len(answer.body) // 2])
        _break(request)
        return response

    async def _flip(self, request: web.Request, _: Fault) -> web.Response:
        if request.method == "PUT":
            return await self._pass_on(request, None, _flipped)
        answer = await self._pass_on(request, None)
        assert isinstance(answer.body, bytes)
        answer.body = _flipped(answer.body)
        return answer

    async def _lost(self, request: web.Request, _: Fault) -> web.Response:
        await self._pass_on(request, None)
        _break(request)
        return web.Response()


def _flipped(body: bytes) -> bytes:
    changed = bytearray(body)
    changed[len(body) // 2] ^= 0x10
    return bytes(changed)


def _break(request: web.Request) -> None:
    """Reset the connection, as a machine that vanishes does: nothing more is sent."""
    assert request.transport is not None
    connection = request.transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()
