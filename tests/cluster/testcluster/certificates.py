"""The cluster's keys, certificates and kubeconfigs, with elliptic curves, which are created quickly."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testcluster.commands import run

if TYPE_CHECKING:
    from pathlib import Path

NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
DAYS = ("-days", "30")


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder, and the API server in its kubeconfigs."""

    folder: Path
    server: str

    @property
    def certificate(self) -> Path:
        """Return the file that clients trust."""
        return self.folder / "ca.crt"

    @classmethod
    def make(cls, folder: Path, server: str) -> Authority:
        """Create an authority and the key that signs service-account tokens."""
        folder.mkdir(mode=0o700)
        ca = ("-subj", "/CN=testcluster", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")
        run("openssl", "req", "-x509", *NEW_KEY, *DAYS, *ca)
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "sa.key")
        return cls(folder, server)

    def issue(self, name: str, subject: str, *alternatives: str) -> None:
        """Write `<name>.crt`, `<name>.key` and `<name>.conf`, a kubeconfig that uses them."""
        extensions = [f"subjectAltName={','.join(alternatives or (f'DNS:{name}',))}"]
        extensions += ["extendedKeyUsage=serverAuth,clientAuth", "basicConstraints=critical,CA:FALSE"]
        signed = ("-CA", self.certificate, "-CAkey", self.folder / "ca.key")
        files = ("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt")
        added = [word for extension in extensions for word in ("-addext", extension)]
        run("openssl", "req", "-x509", *NEW_KEY, *DAYS, *signed, "-subj", subject, *files, *added)
        self.kubeconfig(name).write_text(json.dumps(self._kubeconfig(name), indent=1))

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig of the named identity."""
        return self.folder / f"{name}.conf"

    def _kubeconfig(self, name: str) -> dict[str, object]:
        cluster = {"server": self.server, "certificate-authority-data": embedded(self.certificate)}
        user = {
            "client-certificate-data": embedded(self.folder / f"{name}.crt"),
            "client-key-data": embedded(self.folder / f"{name}.key"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testcluster", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "testcluster", "context": {"cluster": "testcluster", "user": name}}],
            "current-context": "testcluster",
        }


def embedded(file: Path) -> str:
    """Return a file as a kubeconfig embeds it, so that the kubeconfig can be copied anywhere."""
    return base64.b64encode(file.read_bytes()).decode()
