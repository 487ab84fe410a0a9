"""Kubernetes as a launcher sees it: an API server on the loopback interface, and "pods".

The server holds every object that is posted against the operator's definitions (closed: an unknown
name is a fault) and every request against the role of deploy/kubernetes/rbac.yaml. The operator and
the kubelet are played by `node.Pods`: a pod is a process with the arguments and variables of its
container and the files of its secret, so that what Dask does with them is real.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import uuid
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web
from node import Pods
from test_kubernetes import DOCUMENTS, faults_of

GROUP = "kubernetes.dask.org"
KINDS = {
    "daskclusters": "DaskCluster",
    "daskautoscalers": "DaskAutoscaler",
    "secrets": "Secret",
    "pods": "Pod",
    "deployments": "Deployment",
}
NAMESPACE = "lab"
TOKEN, STRANGER = "launcher-of-tests", "nobody-of-tests"


def token_of(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


class RefusalError(Exception):
    """A refusal, as Kubernetes words it."""

    def __init__(self, code: int, message: str | None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        if self.message is None:
            return web.Response(status=self.code, text="404 page not found\n")
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
        return web.json_response(
            status | {"message": self.message, "code": self.code}, status=self.code
        )


class Kubernetes:
    """The server, its objects, and what a test wants to go wrong."""

    def __init__(self, folder: Path) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.posted: list[dict[str, Any]] = []
        self.refused: list[str] = []
        self.asked: list[str] = []
        self.has_definitions = True
        self.fails_to_delete = 0
        self.log = "ModuleNotFoundError: No module named 'c2s_data'\n"
        self.pods = Pods(folder, self.objects)
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    def kubeconfig(self, token: str = TOKEN, server: str | None = None) -> Path:
        """Write a configuration as kubectl has it, of a context in the namespace ``lab``."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "here", "cluster": {"server": server or self.url}}],
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [
                {"name": "tests", "context": {"cluster": "here", "user": "me", "namespace": "lab"}}
            ],
        }
        path = self._folder / f"kubeconfig-{uuid.uuid4().hex[:6]}"
        path.write_text(yaml.safe_dump(document))
        return path

    def add_secret(self, name: str, data: dict[str, str]) -> None:
        """Make a secret as an administrator does."""
        self.objects["secrets", name] = {"metadata": {"name": name}, "data": data}

    def names(self, plural: str) -> list[str]:
        """Return which objects of a kind there are."""
        return [name for kind, name in self.objects if kind == plural]

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.pods.stop()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopped = asyncio.Event()
        app = web.Application()
        app.router.add_get("/version/", self._version)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        self.url = f"http://{host}:{port}"
        self._ready.set()
        self._operator = asyncio.create_task(self.pods.operate())
        await self._stopped.wait()
        await runner.cleanup()
        self._operator.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._operator

    async def _version(self, request: web.Request) -> web.Response:
        if token_of(request) not in (TOKEN, STRANGER):
            refused = RefusalError(401, "Unauthorized").response()
            refused.force_close()  # kr8s forgets a connection that it could not log in with.
            return refused
        return web.json_response({"major": "1", "minor": "33", "gitVersion": "v1.33.1"})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self._operator.done():  # A fault of the emulation; a launcher would wait for ever.
            raise web.HTTPInternalServerError(text=repr(self._operator))
        try:
            return await self._answer(request)
        except RefusalError as refusal:
            self.refused.append(f"{request.method} {request.path}: {refusal.code}")
            return refusal.response()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        head, _, rest = request.path.partition("/namespaces/")
        group, version = {
            "/api/v1": ("", "v1"),
            "/apis/apps/v1": ("apps", "v1"),
            f"/apis/{GROUP}/v1": (GROUP, "v1"),
        }.get(head, (None, None))
        if group is None or (group == GROUP and not self.has_definitions):
            raise RefusalError(404, None)
        namespace, plural, *more = rest.split("/")
        name, sub = [*more, "", ""][:2]
        self._authorize(request, group, "/".join(filter(None, (plural, sub))))
        if namespace != NAMESPACE:
            raise RefusalError(404, f'namespaces "{namespace}" not found')
        if sub == "portforward":
            return await self._forward(request, name)
        if sub == "log":
            assert request.query["previous"] == "true"
            return web.Response(text=self.log)
        if request.method == "POST":
            kind = {"apiVersion": f"{group}/{version}".lstrip("/"), "kind": KINDS[plural]}
            return web.json_response(self._create(plural, kind, await request.json()), status=201)
        if request.method == "DELETE":
            return web.json_response(self._delete(plural, name, await request.json()))
        if name:
            return web.json_response(self._find(plural, name))
        return web.json_response({"items": self._list(plural, request.query["labelSelector"])})

    def _authorize(self, request: web.Request, group: str, resource: str) -> None:
        """Hold a request against the role that deploy/ gives to launchers."""
        verb = {"POST": "create", "DELETE": "delete", "GET": "get"}[request.method]
        if "labelSelector" in request.query:
            verb = "list"
        rules = DOCUMENTS["Role-c2s-launcher"]["rules"] if token_of(request) == TOKEN else []
        for rule in rules:
            if (
                group in rule["apiGroups"]
                and resource in rule["resources"]
                and verb in rule["verbs"]
            ):
                return
        user = "system:serviceaccount:lab:stranger"
        raise RefusalError(403, f'{resource} is forbidden: User "{user}" cannot {verb} it in "lab"')

    def _create(self, plural: str, kind: dict[str, str], document: dict[str, Any]) -> Any:
        name = document["metadata"]["name"]
        assert {key: document[key] for key in kind} == kind
        if plural.startswith("dask") and (faults := faults_of(document)):
            raise RefusalError(422, f'{kind["kind"]} "{name}" is invalid: {"; ".join(faults)}')
        if (plural, name) in self.objects:
            raise RefusalError(409, f'{plural}.{GROUP} "{name}" already exists')
        owners = document["metadata"].get("ownerReferences", [])
        assert {owner["uid"] for owner in owners} <= {
            there["metadata"].get("uid") for there in self.objects.values()
        }
        made = json.loads(json.dumps(document))
        made["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": NAMESPACE}
        self.objects[plural, name] = made
        self.posted.append(document)
        return made

    def _delete(self, plural: str, name: str, options: dict[str, Any]) -> Any:
        if self.fails_to_delete > 0:
            self.fails_to_delete -= 1
            raise RefusalError(500, "etcdserver: request timed out")
        there = self._find(plural, name)
        uid = there["metadata"]["uid"]
        if options["preconditions"]["uid"] != uid:
            raise RefusalError(409, f"the UID in the precondition ({name}) does not match")
        assert options["propagationPolicy"] == "Foreground"
        for key, owned in list(self.objects.items()):
            owners = owned["metadata"].get("ownerReferences", [])
            if any(owner["uid"] == uid for owner in owners):
                del self.objects[key]
        self.pods.remove(name)
        return self.objects.pop((plural, name))

    def _find(self, plural: str, name: str) -> dict[str, Any]:
        if (plural, name) not in self.objects:
            raise RefusalError(404, f'{plural} "{name}" not found')
        there = self.objects[plural, name]
        if "deletionTimestamp" in there["metadata"]:
            del self.objects[plural, name]  # It is gone as soon as it was seen to go.
        return there

    def _list(self, plural: str, selector: str) -> list[dict[str, Any]]:
        wanted = dict(part.split("=") for part in selector.split(","))
        return [
            there
            for (kind, _), there in self.objects.items()
            if kind == plural and wanted.items() <= there["metadata"].get("labels", {}).items()
        ]

    async def _forward(self, request: web.Request, pod: str) -> web.StreamResponse:
        """Carry bytes as a kubelet does: a byte of the channel before each message."""
        port = int(request.query["ports"])
        reader, writer = await asyncio.open_connection("127.0.0.1", self.pods.port_of(pod, port))
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        for channel in (0, 1):  # The first message of each says which port it is of.
            await socket.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))

        async def from_pod() -> None:
            while data := await reader.read(16384):
                await socket.send_bytes(b"\x00" + data)
            await socket.close()

        back = asyncio.create_task(from_pod())
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    assert message.data[0] == 0
                    writer.write(message.data[1:])
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            back.cancel()
            writer.close()
        return socket
