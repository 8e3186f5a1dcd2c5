"""An OCI bundle that runc and crun run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path


def bundle(folder: Path, program: str, cgroup: str) -> None:
    """A container of one static program, that sleeps."""
    for name in ("bin", "dev", "proc"):
        (folder / "rootfs" / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", folder / "rootfs/bin/sleep")
    subprocess.run([program, "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": ["/bin/sleep", "1000"]}
    config["mounts"] = [mount for mount in config["mounts"] if mount["destination"] in ("/proc", "/dev")]
    linux = config["linux"]
    linux["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]
    linux["cgroupsPath"] = cgroup
    for name in ("resources", "maskedPaths", "readonlyPaths"):
        linux.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config))
