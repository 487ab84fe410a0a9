"""Objects of one namespace of Kubernetes, asked for by kr8s, which reads kubeconfig and logs in.

kr8s is asynchronous where a deadline is to hold for the whole of a question, and so that a port
can be forwarded meanwhile: an event loop in a thread of its own answers the calls of this module.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from c2s_data.errors import ConfigError

ANSWER_S: Final = 20.0
_IN_POD: Final = "KUBERNETES_SERVICE_HOST"  # Kubernetes gives it to every container.
_NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_PLACES: Final = {
    "DaskCluster": ("kubernetes.dask.org/v1", "daskclusters"),
    "DaskAutoscaler": ("kubernetes.dask.org/v1", "daskautoscalers"),
    "Secret": ("v1", "secrets"),
    "Pod": ("v1", "pods"),
    "Deployment": ("apps/v1", "deployments"),
}
Document = dict[str, Any]


class RefusedError(Exception):
    """The API server answered, and said no: ``code`` is the status of HTTP, 0 for no answer."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_in_pod() -> bool:
    """Return whether this process runs in a pod, where services have names."""
    return _IN_POD in os.environ


@contextlib.contextmanager
def open_api(context: str | None, namespace: str | None) -> Iterator[Api]:
    """Log in as kubectl does: by ``KUBECONFIG``, ``~/.kube/config``, or as the pod's account.

    Raises
    ------
    ConfigError
        If there is no such configuration, its login fails, or the API server does not answer.
    """
    from anyio.from_thread import start_blocking_portal

    with start_blocking_portal() as portal:
        kr8s = portal.call(_log_in, context)
        if namespace is None:
            at_home = is_in_pod() and _NAMESPACE_FILE.is_file()
            namespace = _NAMESPACE_FILE.read_text("utf-8").strip() if at_home else kr8s.namespace
        try:
            yield Api(portal, kr8s, namespace)
        finally:
            portal.call(_close, kr8s)


async def _log_in(context: str | None) -> Any:  # noqa: ANN401 - of packages without types
    import anyio
    import httpx
    from kr8s import APITimeoutError, ServerError
    from kr8s.asyncio import api

    try:
        with anyio.fail_after(ANSWER_S), warnings.catch_warnings():
            # It warns of versions of Kubernetes that it was not tested with.
            warnings.simplefilter("ignore")
            return await api(context=context)
    except (TimeoutError, APITimeoutError, httpx.TransportError) as error:
        raise ConfigError(
            f"--cluster kubernetes: the API server does not answer ({_told(error)}); see "
            "`kubectl cluster-info`, the context (key context) and the way to it (VPN, proxy)"
        ) from error
    except ServerError as error:
        raise ConfigError(
            f"--cluster kubernetes: the API server refuses the login: {error}; see `kubectl auth "
            "whoami`"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"--cluster kubernetes: no usable kubeconfig: {_told(error)}; set KUBECONFIG or "
            "~/.kube/config so that `kubectl get pods` works, or correct key context"
        ) from error


async def _close(kr8s: Any) -> None:  # noqa: ANN401 - of packages without types
    """Close connections while their event loop runs; kr8s itself has no word for it."""
    session = getattr(kr8s, "_session", None)
    if session is not None:
        await session.aclose()


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


class Api:
    """One namespace."""

    def __init__(self, portal: Any, kr8s: Any, namespace: str) -> None:  # noqa: ANN401 - of packages without types
        self._portal = portal
        self._kr8s = kr8s
        self.namespace = namespace

    def create(self, document: Document) -> Document:
        """Make an object; return it as Kubernetes completed it.

        This and the others raise `RefusedError`.
        """
        version, url = _PLACES[document["kind"]]
        made: Document = self._ask("POST", version, url, content=json.dumps(document))
        return made

    def get(self, kind: str, name: str) -> Document:
        """Return an object."""
        version, url = _PLACES[kind]
        found: Document = self._ask("GET", version, f"{url}/{name}")
        return found

    def list(self, kind: str, labels: str) -> list[Document]:
        """Return the objects whose labels match a selector."""
        version, url = _PLACES[kind]
        found = self._ask("GET", version, url, params={"labelSelector": labels})
        return list(found["items"])

    def delete(self, document: Document) -> None:
        """Remove an object and, before it, what belongs to it; no other of the same name."""
        version, url = _PLACES[document["kind"]]
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": document["metadata"]["uid"]},
        }
        name = document["metadata"]["name"]
        self._ask("DELETE", version, f"{url}/{name}", content=json.dumps(options))

    def log(self, pod: str, lines: int) -> str:
        """Return the end of what the container that ran before printed."""
        asked = {"previous": "true", "tailLines": str(lines)}
        return str(self._ask("GET", "v1", f"pods/{pod}/log", is_text=True, params=asked))

    @contextlib.contextmanager
    def forwarded(self, pod: Document, port: int) -> Iterator[int]:
        """Give a port of the loopback interface that leads to a port of a pod."""
        with self._portal.wrap_async_context_manager(self._forward(pod, port)) as local:
            yield local

    @contextlib.asynccontextmanager
    async def _forward(self, pod: Document, port: int) -> AsyncIterator[int]:
        from kr8s.asyncio.objects import Pod
        from kr8s.asyncio.portforward import PortForward

        forward = PortForward(Pod(pod, api=self._kr8s), port, "auto", "127.0.0.1")
        async with forward as local:
            yield local

    def _ask(
        self, method: str, version: str, url: str, *, is_text: bool = False, **request: object
    ) -> Any:  # noqa: ANN401 - JSON
        return self._portal.call(self._answer, method, version, url, is_text, request)

    async def _answer(
        self, method: str, version: str, url: str, is_text: bool, request: dict[str, Any]
    ) -> Any:  # noqa: ANN401 - JSON
        import anyio
        import httpx
        from kr8s import APITimeoutError, ServerError

        asked = {"method": method, "version": version, "url": url, "namespace": self.namespace}
        try:
            with anyio.fail_after(ANSWER_S):
                async with self._kr8s.call_api(**asked, **request) as response:
                    return response.text if is_text else response.json()
        except ServerError as error:
            code = error.response.status_code if error.response is not None else 0
            # httpx adds a line on where to read about the code.
            raise RefusedError(code, str(error).partition("\n")[0]) from error
        except (TimeoutError, APITimeoutError, httpx.TransportError) as error:
            raise RefusedError(0, f"the API server does not answer ({_told(error)})") from error
