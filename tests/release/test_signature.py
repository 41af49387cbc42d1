"""`make sign` and the command of the documentation that verifies its signature, with a key made for the test."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from release.checksums import SUMS
from release.dependencies import ROOT

pytestmark = pytest.mark.skipif(
    not (shutil.which("ssh-keygen") and shutil.which("make") and shutil.which("sha256sum")),
    reason="needs ssh-keygen, make and sha256sum",
)


def make_key(path: Path) -> str:
    """Write a new private key, and return the type and the text of the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text(encoding="utf-8").split()[:2])


def sign(folder: Path, key: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--silent", "sign", f"KEY={key}", f"SIGNED={folder}"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as the documentation gives it."""
    page = (ROOT / "docs/compatibility.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ssh-keygen -Y verify .+$", page, flags=re.M)
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)


def test_signed_checksums_are_verified_and_a_change_is_found(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key")
    for _ in range(2):  # the second run replaces the signature without a question
        run = sign(tmp_path, str(tmp_path / "key"))
        assert run.returncode == 0, run.stderr
    signed = tmp_path / SUMS.name
    assert signed.read_bytes() == SUMS.read_bytes()
    (tmp_path / "allowed_signers").write_text(f"maintainers {public}\n", encoding="utf-8")
    good = verify(tmp_path)
    assert good.returncode == 0 and good.stdout.startswith('Good "file" signature for maintainers')
    signed.write_bytes(signed.read_bytes().replace(b"0", b"1", 1))
    assert verify(tmp_path).returncode != 0


def test_signature_of_another_key_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    assert sign(tmp_path, str(tmp_path / "key")).returncode == 0
    (tmp_path / "allowed_signers").write_text(f"maintainers {make_key(tmp_path / 'other')}\n", encoding="utf-8")
    assert verify(tmp_path).returncode != 0


def test_sign_needs_a_key(tmp_path: Path) -> None:
    run = sign(tmp_path, "")
    assert run.returncode != 0 and "make sign KEY=" in run.stderr
    assert not list(tmp_path.iterdir())


def test_repository_holds_no_signature() -> None:
    assert not list(SUMS.parent.rglob("*.sig"))
