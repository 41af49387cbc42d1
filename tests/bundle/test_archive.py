"""A bundle as one file: the same again where it is unpacked; what is hostile in it is refused, member by member."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bimors_cli.bundle.adapter import open_adapter
from bimors_cli.bundle.archive import pack_bundle, unpack_bundle
from bimors_cli.bundle.manifest import ADAPTER, Bundle, open_bundle
from bimors_cli.errors import BundleError, InputError

Members = dict[str, bytes]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


@pytest.fixture(scope="module")
def packed(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("packed") / "tiny.bimors.zip"
    pack_bundle(tiny_bundle.folder, path)
    return path


@pytest.fixture
def members(packed: Path) -> Members:
    with zipfile.ZipFile(packed) as file:
        return {name: file.read(name) for name in file.namelist()}


def written(path: Path, members: Members, change: Callable[[zipfile.ZipFile], object] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name), content)
        if change is not None:
            change(file)
    return path


def refused(path: Path, home: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        unpack_bundle(path)
    assert "\n" not in caught.value.message
    assert not any(home.glob("[!.]*")) and not any(home.glob(".*.part/*"))
    assert not (home.parent.parent / "evil").exists()


def test_it_is_the_same_bundle_where_it_is_unpacked(packed: Path, home: Path, tiny_bundle: Bundle) -> None:
    bundle = unpack_bundle(packed)
    assert bundle.folder == home / "tiny" and open_bundle(bundle.folder).sha256 == tiny_bundle.sha256
    assert open_adapter(bundle.part(ADAPTER), bundle).name == "untrained"
    assert {path.name for path in home.iterdir()} == {"tiny", ".tiny.lock"}


def test_equal_bundles_give_equal_files(packed: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy", copy_function=shutil.copyfile))
    (copy / "README.md").write_text("stays at home")
    pack_bundle(copy, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_files_of_more_than_four_gigabytes(
    tiny_bundle: Bundle, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the limit of the old format at a kilobyte instead: everything goes through zip64."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    pack_bundle(tiny_bundle.folder, tmp_path / "a.zip")
    assert unpack_bundle(tmp_path / "a.zip").sha256 == tiny_bundle.sha256


def test_a_bundle_without_an_adapter(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))
    shutil.rmtree(copy / ADAPTER)
    pack_bundle(copy, tmp_path / "a.zip")
    assert not unpack_bundle(tmp_path / "a.zip", tmp_path / "there").part(ADAPTER).exists()


def test_a_damaged_bundle_is_not_packed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_bundle.folder, tmp_path / "copy"))
    (copy / "clip" / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match="missing"):
        pack_bundle(copy, tmp_path / "a.zip")


def test_an_installed_bundle_is_replaced_only_when_asked(packed: Path, home: Path) -> None:
    folder = unpack_bundle(packed).folder
    (folder / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="exists"):
        unpack_bundle(packed)
    assert (folder / "mine.txt").is_file()
    unpack_bundle(packed, overwrite=True)
    assert not (folder / "mine.txt").exists() and open_bundle(folder)


def test_a_bad_file_leaves_the_installed_bundle_alone(
    packed: Path, home: Path, members: Members, tmp_path: Path
) -> None:
    folder = unpack_bundle(packed).folder
    members["clip/tokenizer.json"] = bytes(len(members["clip/tokenizer.json"]))
    with pytest.raises(BundleError, match="changed since"):
        unpack_bundle(written(tmp_path / "bad.zip", members), overwrite=True)
    assert open_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "clip/../../evil", "clip\\evil", "C:evil", "clip//evil", "a/"]
)
def test_members_with_names_that_are_not_plain(name: str, home: Path, members: Members, tmp_path: Path) -> None:
    refused(written(tmp_path / "a.zip", {**members, name: b"x"}), home, "not a plain name")


def test_a_name_that_ends_before_it_ends(home: Path, members: Members, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", {**members, "clip/evilX.json": b"x"})
    path.write_bytes(path.read_bytes().replace(b"clip/evilX.json", b"clip/evil\0.json"))
    refused(path, home, "not a plain name")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_members_that_are_no_files(kind: int, home: Path, members: Members, tmp_path: Path) -> None:
    def add(file: zipfile.ZipFile) -> None:
        member = zipfile.ZipInfo("clip/tokenizer.json")
        member.external_attr = (kind | 0o777) << 16
        file.writestr(member, b"/etc/passwd")

    del members["clip/tokenizer.json"]
    refused(written(tmp_path / "a.zip", members, add), home, "a link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["clip/tokenizer.json", "clip/TOKENIZER.json"])
def test_a_member_twice_and_in_another_case(name: str, home: Path, members: Members, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", members, lambda file: file.writestr(zipfile.ZipInfo(name), b"x"))
    refused(path, home, "twice")


def test_a_member_that_the_manifest_does_not_name(home: Path, members: Members, tmp_path: Path) -> None:
    refused(written(tmp_path / "a.zip", {**members, "clip/extra.json": b"x"}), home, r"clip/extra\.json.*manifest")


def test_a_member_that_is_missing(home: Path, members: Members, tmp_path: Path) -> None:
    del members["clip/tokenizer.json"]
    refused(written(tmp_path / "a.zip", members), home, r"clip/tokenizer\.json.*missing")


def test_a_member_of_another_size(home: Path, members: Members, tmp_path: Path) -> None:
    members["clip/tokenizer.json"] += b"x"
    refused(written(tmp_path / "a.zip", members), home, r"clip/tokenizer\.json.*according to the manifest")


def test_a_compressed_member_is_not_even_opened(home: Path, members: Members, tmp_path: Path) -> None:
    """A bomb: a gigabyte of zeros in a megabyte."""
    del members["clip/tokenizer.json"]

    def add(file: zipfile.ZipFile) -> None:
        file.writestr("clip/tokenizer.json", bytes(10_000_000), zipfile.ZIP_DEFLATED)

    refused(written(tmp_path / "a.zip", members, add), home, "is compressed")


def test_a_member_that_claims_to_be_huge(home: Path, members: Members, tmp_path: Path) -> None:
    """The directory says that a stored member has nearly 4 GB; the file is small."""
    path = written(tmp_path / "a.zip", members)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"clip/tokenizer.json") - 46  # its place in the directory
    assert content[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<II", content, at + 20, 0xFFFFFF00, 0xFFFFFF00)
    path.write_bytes(content)
    refused(path, home, "claim")


def test_an_encrypted_member(home: Path, members: Members, tmp_path: Path) -> None:
    path = written(tmp_path / "a.zip", members)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"clip/tokenizer.json") - 46 + 8] |= 1
    path.write_bytes(content)
    refused(path, home, "encrypted")


def test_more_members_than_any_bundle_has(home: Path, members: Members, tmp_path: Path) -> None:
    many = {f"clip/{i}": b"" for i in range(10_001)}
    refused(written(tmp_path / "a.zip", {**members, **many}), home, "members")


def test_a_manifest_as_large_as_a_film(home: Path, members: Members, tmp_path: Path) -> None:
    members["manifest.json"] = bytes(16 * 2**20 + 1)
    refused(written(tmp_path / "a.zip", members), home, "too large for a manifest")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("schema", 99, "newer"),
        ("name", "../evil", "not a valid bundle name"),
        ("name", "mini", "is part of bimors"),
        ("name", "bimors-b16", "differs from the file in the catalog"),
        ("image_size", "x", "image_size"),
    ],
)
def test_manifests_that_say_what_they_should_not(
    name: str, value: object, match: str, home: Path, members: Members, tmp_path: Path
) -> None:
    content = {**json.loads(members["manifest.json"]), name: value}
    members["manifest.json"] = json.dumps(content).encode()
    refused(written(tmp_path / "a.zip", members), home, match)


def test_one_changed_byte(packed: Path, home: Path, tmp_path: Path) -> None:
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.zip").write_bytes(content)
    refused(tmp_path / "a.zip", home, r"a\.zip")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_cut_short(share: float, packed: Path, home: Path, tmp_path: Path) -> None:
    content = packed.read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path / "a.zip", home, "not a packed bundle")


def test_a_file_that_is_not_there(home: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.zip", home, "cannot be read")
    refused(written(tmp_path / "a.zip", {"a.txt": b"x"}), home, r"manifest\.json not found")


def test_too_little_room(packed: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    refused(packed, home, "are needed")
