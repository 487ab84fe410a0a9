"""The operator and a node: what they make of a DaskCluster, with processes for containers.

What a container has to itself is given to its process by other means: files below ``/tls`` lie in a
folder of the pod, ports are any that are free, and the service's name is the loopback interface.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

import c2s_data

LOOK_EVERY_S = 0.2


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Pods:
    """All pods of one DaskCluster at a time."""

    def __init__(self, folder: Path, objects: dict[tuple[str, str], dict[str, Any]]) -> None:
        self.has_operator = True
        # Without processes a pod is ready at once, for tests that run nothing in it.
        self.has_processes = True
        # Component -> the state in which the kubelet keeps its containers waiting.
        self.waiting: dict[str, dict[str, str]] = {}
        # Why Kubernetes makes no pods at all.
        self.no_pods_because: str | None = None
        self.most_workers = 0
        self.environments: dict[str, dict[str, str]] = {}
        self._folder = folder
        self._objects = objects
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ending: list[subprocess.Popen[bytes]] = []
        self._ports: dict[tuple[str, int], int] = {}

    def port_of(self, pod: str, port: int) -> int:
        """Return the port of this machine that stands for a port of a pod."""
        component = self._objects["pods", pod]["metadata"]["labels"]["dask.org/component"]
        return self._ports[component, port]

    async def operate(self) -> None:
        """Look after clusters until it is cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                for (plural, _), cluster in list(self._objects.items()):
                    if plural == "daskclusters" and self.has_operator and "spec" in cluster:
                        await self._look_after(cluster, session)
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look_after(self, cluster: dict[str, Any], session: aiohttp.ClientSession) -> None:
        name, spec = cluster["metadata"]["name"], cluster["spec"]
        cluster["status"] = {"phase": "Running"}
        if self.no_pods_because:
            self._refuse_pods(name)
            return
        for port in spec["scheduler"]["service"]["ports"]:
            if ("scheduler", port["port"]) not in self._ports:
                self._ports["scheduler", port["port"]] = free_port()
        await self._settle(name, "scheduler", 0, spec, session)
        for number in range(await self._wanted_workers(name, spec, session)):
            await self._settle(name, "worker", number, spec, session)

    async def _wanted_workers(
        self, name: str, spec: dict[str, Any], session: aiohttp.ClientSession
    ) -> int:
        """Ask the scheduler as the operator's autoscaler does, which has no certificate."""
        wanted = int(spec["worker"]["replicas"])
        scaler = self._objects.get(("daskautoscalers", name))
        is_asked = self.has_processes and self._is_ready(f"{name}-scheduler-0")
        if scaler is not None and is_asked:
            assert scaler["spec"]["cluster"] == name
            url = f"http://127.0.0.1:{self._ports['scheduler', 8787]}/api/v1/adaptive_target"
            try:
                async with session.get(url) as response:
                    wanted = int((await response.json())["workers"])
            except aiohttp.ClientError:  # The scheduler is just being stopped.
                return 0
            wanted = min(max(wanted, scaler["spec"]["minimum"]), scaler["spec"]["maximum"])
        self.most_workers = max(self.most_workers, wanted)
        return wanted

    def _refuse_pods(self, name: str) -> None:
        labels = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
        condition = {"type": "ReplicaFailure", "status": "True", "message": self.no_pods_because}
        self._objects["deployments", f"{name}-scheduler"] = {
            "metadata": {"name": f"{name}-scheduler", "labels": labels},
            "status": {"conditions": [condition]},
        }

    async def _settle(
        self,
        cluster: str,
        component: str,
        number: int,
        spec: dict[str, Any],
        session: aiohttp.ClientSession,
    ) -> None:
        """Bring a pod one step further: made, started, ready."""
        name = f"{cluster}-{component}-{number}"
        labels = {"dask.org/cluster-name": cluster, "dask.org/component": component}
        pod = self._objects.setdefault(
            ("pods", name),
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": "lab", "labels": labels},
                "status": {"phase": "Pending"},
            },
        )
        template = spec[component]["spec"]
        if state := self.waiting.get(component) or self._lacks(template):
            pod["status"]["containerStatuses"] = [{"ready": False, "state": {"waiting": state}}]
        elif not self.has_processes:
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        elif name not in self._running:
            self._start(cluster, component, name, spec)
            pod["status"] = {"phase": "Running", "containerStatuses": []}
        elif not self._is_ready(name) and await self._answers(component, spec, session):
            pod["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    def _lacks(self, template: dict[str, Any]) -> dict[str, str] | None:
        """Return what keeps a container waiting: a secret that is not there."""
        secrets = [v["secret"]["secretName"] for v in template["volumes"] if "secret" in v]
        if any(("secrets", name) not in self._objects for name in secrets):
            return {"reason": "ContainerCreating"}
        for source in template["containers"][0].get("envFrom", []):
            if ("secrets", wanted := source["secretRef"]["name"]) not in self._objects:
                message = f'secret "{wanted}" not found'
                return {"reason": "CreateContainerConfigError", "message": message}
        return None

    def _is_ready(self, pod: str) -> bool:
        return bool(self._objects.get(("pods", pod), {}).get("status", {}).get("conditions"))

    async def _answers(
        self, component: str, spec: dict[str, Any], session: aiohttp.ClientSession
    ) -> bool:
        """Probe a scheduler as its manifest says; a worker has no probe."""
        if component == "worker":
            return True
        probe = spec["scheduler"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        assert probe["port"] == "http-dashboard"
        url = f"http://127.0.0.1:{self._ports['scheduler', 8787]}{probe['path']}"
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with session.get(url) as response:
                return response.status == 200
        return False

    def _start(self, cluster: str, component: str, name: str, spec: dict[str, Any]) -> None:
        template = spec[component]["spec"]
        (container,) = template["containers"]
        folder = self._folder / f"{name}-{time.monotonic_ns()}"
        tls = folder / "tls"
        tls.mkdir(parents=True)
        (volume,) = (v for v in template["volumes"] if v["name"] == "tls")
        for key, text in self._objects["secrets", volume["secret"]["secretName"]]["data"].items():
            (tls / key).write_bytes(base64.b64decode(text))
        variables = {"DASK_WORKER_NAME": name}
        for source in container.get("envFrom", []):
            data = self._objects["secrets", source["secretRef"]["name"]]["data"]
            variables |= {key: base64.b64decode(text).decode() for key, text in data.items()}
        variables |= {item["name"]: item["value"] for item in container["env"]}
        self.environments[name] = dict(variables)
        if component == "worker":
            self._find_scheduler(cluster, variables)
        here = {key: value.replace("/tls/", f"{tls}/") for key, value in variables.items()}
        args = [
            re.sub(r"\$\((\w+)\)", lambda found: here[found[1]], argument)
            for argument in container["args"]
        ]
        with (folder / "out").open("wb") as stream:
            self._running[name] = subprocess.Popen(
                [*self._command(args, component), "--host", "127.0.0.1"],
                cwd=folder,
                env=self._outside() | here,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # All of a container ends together.
            )

    def _find_scheduler(self, cluster: str, variables: dict[str, str]) -> None:
        """Resolve the name of the service, as the cluster's DNS would."""
        address = variables["DASK_SCHEDULER_ADDRESS"]
        found = re.fullmatch(rf"tls://{cluster}-scheduler:(\d+)", address)
        assert found, address
        port = self._ports["scheduler", int(found[1])]
        variables["DASK_SCHEDULER_ADDRESS"] = f"tls://127.0.0.1:{port}"

    def _command(self, args: list[str], component: str) -> list[str]:
        program, what, *options = args
        assert (program, what) == ("dask", component)
        for place, option in enumerate(options):
            if option == "--port":
                options[place + 1] = str(self._ports[component, int(options[place + 1])])
            if option == "--dashboard-address" and options[place + 1].startswith(":"):
                port = self._ports[component, int(options[place + 1][1:])]
                options[place + 1] = f"127.0.0.1:{port}"
            if option == "--local-directory":
                assert options[place + 1] == "/tmp"
                options[place + 1] = "."
        return [sys.executable, "-m", f"distributed.cli.dask_{what}", *options]

    @staticmethod
    def _outside() -> dict[str, str]:
        """Return what an image holds: programs and the package, and no settings of this shell."""
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        package = Path(c2s_data.__file__).parents[1]
        given = os.environ.get("PYTHONPATH", "")
        return kept | {"PYTHONPATH": os.pathsep.join(filter(None, (str(package), given)))}

    def is_running(self) -> bool:
        """Return whether a pod's process still runs."""
        return any(process.poll() is None for process in (*self._running.values(), *self._ending))

    def remove(self, cluster: str) -> None:
        """End the pods of a cluster, as after their time of grace, and forget them."""
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self._ending += self._running.values()
        self._running.clear()
        self._ports.clear()
        for plural, name in list(self._objects):
            if plural in ("pods", "deployments") and name.startswith(f"{cluster}-"):
                del self._objects[plural, name]

    def stop(self) -> None:
        """End every process."""
        self.remove("")
        for process in self._ending:
            process.wait()
