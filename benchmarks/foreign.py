"""The peers that are no Python: nginx with nchan, Node with better-sse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).resolve().parent / "peers"

MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/local/libexec/nginx")
NCHAN_MODULE = "ngx_nchan_module.so"
BETTER_SSE = "better-sse@^0.16"


class Absent(Exception):
    """What a peer needs is not here."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what} is absent: {remedy}")


def program(name: str, remedy: str) -> str:
    """Return the path of a program.

    Raises:
        Absent: there is none.

    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Absent(name, remedy)
    return found


def nginx(port: int, folder: Path) -> Sequence[str]:
    """Write nginx's configuration into ``folder``, and return what starts it."""
    remedy = "apt-get install nginx libnginx-mod-nchan"
    binary = program("nginx", remedy)
    modules = [Path(place) / NCHAN_MODULE for place in MODULES]
    module = next((path for path in modules if path.exists()), None)
    if module is None:
        raise Absent(NCHAN_MODULE, remedy)
    # Started by root, nginx would give its worker to a user who may not enter the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    template = (HERE / "nginx.conf").read_text()
    config.write_text(template.format(module=module, port=port, user=user))
    return [binary, "-e", "stderr", "-p", str(folder), "-c", str(config)]


def better_sse(port: int, folder: Path) -> Sequence[str]:
    """Install better-sse into the user's cache, once, and return what starts it."""
    del folder
    node = program("node", "apt-get install nodejs")
    home = cache() / "node"
    if not (home / "node_modules" / "better-sse").exists():
        _npm_install(home)
    # Node looks for packages beside the file that imports them.
    app = home / "better_sse.mjs"
    shutil.copyfile(HERE / app.name, app)
    return [node, str(app), str(port)]


def cache() -> Path:
    """Return where downloaded peers stay, outside the project."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sse_kit-benchmarks"


def _npm_install(home: Path) -> None:
    npm = program("npm", "apt-get install npm")
    home.mkdir(parents=True, exist_ok=True)
    (home / "package.json").write_text('{"private": true}\n')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", BETTER_SSE],
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise Absent("better-sse", f"npm install {BETTER_SSE} failed ({last[0]}), try it yourself")


def versions() -> dict[str, str]:
    """Return the versions of those that are here."""
    asked = {"nginx": ["nginx", "-v"], "node": ["node", "--version"]}
    asked["nchan"] = ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"]
    found = {name: _output(command) for name, command in asked.items()}
    package = cache() / "node" / "node_modules" / "better-sse" / "package.json"
    if package.exists():
        found["better-sse"] = json.loads(package.read_text())["version"]
    return {name: version for name, version in found.items() if version}


def _output(command: list[str]) -> str:
    path = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")
    binary = shutil.which(command[0], path=path)
    if binary is None:
        return ""
    done = subprocess.run([binary, *command[1:]], capture_output=True, text=True, check=False)
    text = (done.stdout or done.stderr).strip()
    return "" if done.returncode else text.rpartition("/")[2].removeprefix("v")
