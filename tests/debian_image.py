"""Images for machines that can pull none: made of Debian's base system. Needs root, debootstrap and a Docker daemon."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

SUITE = "bookworm"
BUILD_SECONDS = 400


def pulled(image: str) -> bool:
    """Return whether the daemon has an image, fetched now if need be."""
    return has(image) or run("docker", "pull", "--quiet", image, check=False).returncode == 0


def has(image: str) -> bool:
    """Return whether the daemon has an image."""
    return run("docker", "image", "inspect", image, check=False).returncode == 0


@contextmanager
def base_system(instead_of: str, *packages: str) -> Iterator[Path]:
    """Make Debian's base system, with more packages, in a folder that goes with the context.

    Raises
    ------
    RuntimeError
        There is no debootstrap, or it failed; the text is what it said.
    """
    if shutil.which("debootstrap") is None:
        raise RuntimeError(
            f"Docker has no image {instead_of} and cannot pull it, and there is no debootstrap to build a stand-in with: install it."
        )
    with tempfile.TemporaryDirectory(prefix="standin-") as scratch:
        root = Path(scratch) / "root"
        more = [f"--include={','.join(packages)}"] if packages else []
        run("debootstrap", "--variant=minbase", *more, SUITE, str(root), _mirror())
        for folder in (root / "var/cache/apt", root / "var/lib/apt/lists", root / "usr/share/doc"):
            shutil.rmtree(folder)
        yield root


def import_folder(root: Path, name: str, changes: Sequence[str] = ()) -> None:
    """Make an image of a folder; `changes` are lines of a Dockerfile."""
    words = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        run("docker", "import", *words, "-", name, stdin=tar.stdout)


def run(
    *command: str, check: bool = True, stdin: object = subprocess.DEVNULL
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        It failed; the text is what it said.
    """
    done = subprocess.run(
        command,
        stdin=stdin,  # type: ignore[arg-type]
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stdout[-2000:]}")
    return done


def _mirror() -> str:
    """Return the Debian mirror that this machine uses."""
    sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Codename: " + SUITE).stdout
    return sites.splitlines()[0]
