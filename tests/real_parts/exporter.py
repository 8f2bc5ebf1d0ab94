"""The exporter itself, as a process of its own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import yaml

from real_parts.servers import Server


class Exporter(Server):
    """`afdp serve` with the given configuration; its store stays in its folder from start to start."""

    ready = "/-/ready"

    def __init__(self, folder: Path, config: dict[str, Any], storage: str = "--storage.path=store") -> None:
        super().__init__(folder)
        self.config = config
        self.storage = storage

    @classmethod
    def program(cls) -> str:
        return sys.executable

    def arguments(self) -> list[str]:
        (self.folder / "afdp.yml").write_text(yaml.safe_dump(self.config))
        flags = ["--config.file=afdp.yml", self.storage, f"--web.listen-address=127.0.0.1:{self.port}"]
        return ["-m", "afdp_exporter", "serve", *flags]

    def page(self, path: str = "/metrics") -> str:
        """What a scrape gets, or whoever asks for another page."""
        return self.http.request("GET", f"{self.url}{path}").data.decode()

    def curl(self, path: str, body: object) -> tuple[int, Any]:
        """POST a body as a deploy script does, with curl; the status and the answer."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        command = ["curl", "--silent", "--show-error", "--header", "Content-Type: application/json"]
        command += ["--data-binary", "@-", "--write-out", "\n%{http_code}", self.url + path]
        done = subprocess.run(command, input=content, capture_output=True, check=True)
        answer, _, status = done.stdout.rpartition(b"\n")
        return int(status), orjson.loads(answer)

    def patch(self, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
        """Change something; the answer."""
        headers = {"Content-Type": "application/json"}
        answer = self.http.request("PATCH", self.url + path, body=orjson.dumps(body), headers=headers)
        assert answer.status == 200, answer.data.decode()
        return orjson.loads(answer.data)
