"""What goes wrong with a source: one line with what, where and what to do, and no half of a bundle is left."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from safetensors.torch import save
from transformers import CLIPModel

from bimors_cli.bundle.fetch import fetch_bundle
from bimors_cli.bundle.fetch_record import record_of
from bimors_cli.bundle.locate import find_bundle
from bimors_cli.bundle.manifest import Bundle
from bimors_cli.bundle.store import check_space, installed, remove_bundle, staging, verify_bundle
from bimors_cli.errors import BimorsError, BundleError, InputError
from bimors_cli.model.clip import Clip, build_clip
from bimors_cli.model.clip_check import check_clip
from bimors_cli.model.pickle_to_safetensors import convert as convert_here
from bimors_cli.pipeline.bundles import clip_entry
from bimors_cli.pipeline.bundles.to_fetch import find_to_fetch
from tests.bundle.hub_server import COMMIT, Hub, serve
from tests.bundles import tokenizer
from tests.model.test_transformers_clip import clip_config

SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
API, FILES = "/api/models/me/mine", f"/me/mine/resolve/{COMMIT}"
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the hotel's network</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}
NEW = "b" * 40


@pytest.fixture(scope="module")
def mine() -> dict[str, bytes]:
    """A small CLIP in the layout of open_clip."""
    state = {name: value.contiguous() for name, value in build_clip(SMALL).state_dict().items()}
    return {CONFIG: json.dumps({"model_cfg": SMALL}).encode(), WEIGHTS: save(state)}


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    """One server for all tests of this file, which huggingface_hub in this process takes for its hub."""
    with serve(Hub({})) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 500)
        patch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
        patch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.5)
        patch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
        yield hub


@pytest.fixture
def hub(server: Hub, mine: dict[str, bytes]) -> Hub:
    fresh = Hub({"me/mine": dict(mine)})
    for name in vars(fresh).keys() - {"url", "released"}:
        setattr(server, name, getattr(fresh, name))
    return server


@pytest.fixture(autouse=True)
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIMORS_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "bundles"


def fetch(name: str = "hf:me/mine", said: list[str] | None = None) -> Bundle:
    """As `bimors models fetch` does."""
    wanted, lines = find_to_fetch(name, None, None), [] if said is None else said
    lines.extend(wanted.entry.notes)
    return fetch_bundle(wanted.entry, wanted.target, wanted.convert, lines.append, progress=False, check=check_clip)


def refused(name: str = "hf:me/mine", code: int = 1) -> BimorsError:
    """Fetch, and return the error: one line, a hint, and nothing that could be taken for a bundle."""
    with pytest.raises(BimorsError) as caught:
        fetch(name)
    error = caught.value
    assert error.exit_code == code and error.hint and "\n" not in error.message + error.hint
    assert "None" not in error.message + error.hint
    assert not installed()
    return error


def is_clean(bundles: Path) -> bool:
    """Whether no file of a fetch is left, only locks."""
    return not [path for path in bundles.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_the_repository_of_these_tests_can_be_fetched(hub: Hub) -> None:
    bundle = fetch()
    assert verify_bundle(bundle.folder) and Clip.load(bundle.part("clip")).encode_text(["a"]).shape == (1, 16)


# --- what the repository is


def test_without_weights_that_can_be_used(hub: Hub, bundles: Path) -> None:
    hub.repositories["me/mine"] = {
        "config.json": json.dumps(clip_config().to_dict()).encode(),
        "flax_model.msgpack": b"x",
    }
    error = refused()
    assert "me/mine: none of model.safetensors, pytorch_model.bin found" in error.message
    assert "safetensors" in str(error.hint) and is_clean(bundles)


@pytest.mark.parametrize("status", [401, 403])
def test_gated(status: int, hub: Hub, bundles: Path) -> None:
    """The hub lists the files of a gated repository to everyone; it refuses to send them."""
    hub.answers[f"{FILES}/{CONFIG}"] = (status, {"X-Error-Code": "GatedRepo"}, b"{}")
    error = refused()
    assert "me/mine: gated repository" in error.message and is_clean(bundles)
    assert f"{hub.url}/me/mine" in str(error.hint) and "HF_TOKEN" in str(error.hint)


@pytest.mark.parametrize("status", [301, 307])
def test_renamed(status: int, hub: Hub) -> None:
    hub.repositories["us/ours"] = hub.repositories.pop("me/mine")
    hub.answers[API] = (status, {"Location": "/api/models/us/ours"}, b"")
    hub.answers[f"{API}/revision/{COMMIT}"] = (status, {"Location": f"/api/models/us/ours/revision/{COMMIT}"}, b"")
    for name in (CONFIG, WEIGHTS):
        hub.answers[f"{FILES}/{name}"] = (status, {"Location": f"/us/ours/resolve/{COMMIT}/{name}"}, b"")
    said: list[str] = []
    assert verify_bundle(fetch(said=said).folder).name == "hf--me--mine"
    assert "me/mine is called us/ours on the hub now: its files come from there" in said


def test_with_code_for_its_tokenizer(hub: Hub, bundles: Path) -> None:
    text = {**SMALL["text_cfg"], "hf_tokenizer_name": "x"}
    settings = {"auto_map": {"AutoTokenizer": ["evil/repository--code.Tokenizer", None]}}
    for kwargs, content in (({}, settings), ({"trust_remote_code": True}, {})):
        config = {"model_cfg": {**SMALL, "text_cfg": {**text, "tokenizer_kwargs": kwargs}}}
        hub.repositories["me/mine"] |= {
            CONFIG: json.dumps(config).encode(),
            "tokenizer_config.json": json.dumps(content).encode(),
        }
        assert "the tokenizer comes with its own code, which bimors never runs" in refused().message
        assert is_clean(bundles) and not any(WEIGHTS in path for path, _ in hub.downloads())


def test_a_bundle_with_code_for_its_tokenizer_is_not_loaded(tmp_path: Path, mine: dict[str, bytes]) -> None:
    """Such as one that was unpacked from a file of somebody else."""
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["a/b--c.D", null]}}')
    with pytest.raises(BundleError, match="its own code"):
        Clip.load(tmp_path)


def test_with_code_for_its_model(hub: Hub, bundles: Path) -> None:
    config = {**clip_config().to_dict(), "auto_map": {"AutoModel": "modeling.Model"}}
    hub.repositories["me/mine"] = {
        "config.json": json.dumps(config).encode(),
        "modeling.py": b"",
        "model.safetensors": b"",
    }
    assert "me/mine: the model comes with its own code" in refused().message and is_clean(bundles)
    assert not any(path.endswith(".py") for path, _ in hub.downloads())


@pytest.mark.parametrize(
    "config",
    [
        {}, [], {"model_cfg": 3}, {"model_cfg": {**SMALL, "text_cfg": [1]}}, {"model_cfg": {**SMALL, "nonsense": 1}},
        {"model_cfg": {**SMALL, "vision_cfg": {"image_size": "x"}}}, {"model_cfg": {**SMALL, "embed_dim": "wide"}},
        {"model_cfg": {**SMALL, "vision_cfg": {**SMALL["vision_cfg"], "timm_model_name": "none_such"}}},
    ],
)  # fmt: skip
def test_a_configuration_that_is_none(config: Any, hub: Hub, bundles: Path) -> None:
    hub.repositories["me/mine"][CONFIG] = json.dumps(config).encode()
    with pytest.raises(BundleError, match=rf"me/mine: {CONFIG}") as caught:
        fetch()
    assert "\n" not in caught.value.message and is_clean(bundles)
    assert not any(WEIGHTS in path for path, _ in hub.downloads())  # before the weights


def test_weights_that_cannot_be_read(hub: Hub, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_entry, "pickle_to_safetensors", convert_here)  # without a process of its own
    hub.repositories["me/mine"][WEIGHTS] = b"\x10" + bytes(7) + b"garbage, garbage, garbage"
    error = refused()
    assert error.message.startswith(f"me/mine: {WEIGHTS}: not a safetensors file") and is_clean(bundles)
    del hub.repositories["me/mine"][WEIGHTS]
    hub.repositories["me/mine"]["open_clip_pytorch_model.bin"] = b"cos\nsystem\n(S'true'\ntR."
    error = refused()
    assert "me/mine: open_clip_pytorch_model.bin: " in error.message and "os.system" in error.message
    assert is_clean(bundles)


def wider(layout: dict[str, Any], part: str, name: str) -> bytes:
    return json.dumps({**layout, part: {**layout[part], name: 2 * layout[part][name]}}).encode()


def test_other_shapes_than_its_configuration(hub: Hub, bundles: Path) -> None:
    hub.repositories["me/mine"][CONFIG] = b'{"model_cfg": ' + wider(SMALL, "vision_cfg", "width") + b"}"
    error = refused()
    assert error.message.startswith("me/mine: open_clip_model.safetensors: visual.")
    assert is_clean(bundles)
    config = clip_config().to_dict()
    state = {name: value.contiguous() for name, value in CLIPModel(clip_config()).state_dict().items()}
    hub.repositories["me/mine"] = {
        "config.json": wider(config, "text_config", "intermediate_size"),
        "model.safetensors": save(state),
    }
    assert "open_clip_model.safetensors: " in refused().message and is_clean(bundles)


@pytest.mark.parametrize(("more", "message"), [(1000, "tokenizer has"), (-1, "tokenizer has"), (0, None)])
def test_a_siglip_with_another_tokenizer(
    more: int, message: str | None, hub: Hub, bundles: Path, tmp_path: Path
) -> None:
    words = tokenizer("<s>", "</s>")
    words.save_pretrained(tmp_path / "words")
    text = {
        **SMALL["text_cfg"], "context_length": 24, "vocab_size": len(words) + more, "hf_tokenizer_name": "x",
        "no_causal_mask": True, "proj_bias": True, "pool_type": "last",
    }  # fmt: skip
    config = {**SMALL, "init_logit_bias": -10, "custom_text": True, "text_cfg": text}
    state = {name: value.contiguous() for name, value in build_clip(config).state_dict().items()}
    hub.repositories["me/mine"] = {
        CONFIG: json.dumps({"model_cfg": config}).encode(),
        WEIGHTS: save(state),
        **{path.name: path.read_bytes() for path in (tmp_path / "words").iterdir()},
    }
    if message is None:
        assert Clip.load(fetch().part("clip")).encode_text(["a forest"]).shape == (1, 16)
        return
    error = refused()
    assert message in error.message and "that of another model" in error.message and is_clean(bundles)


def test_it_does_not_exist(hub: Hub, bundles: Path) -> None:
    error = refused("hf:me/mime", InputError.exit_code)
    assert f"me/mime: not found on {hub.url}, or private" in error.message and is_clean(bundles)
    error = refused("hf:me/mine@v2", InputError.exit_code)
    assert "me/mine: the hub does not have the revision v2" in error.message and is_clean(bundles)


def test_a_pinned_commit_of_a_long_name(hub: Hub, bundles: Path) -> None:
    """The names of folders have at most 100 characters, a commit alone has 40."""
    name = "laion/CLIP-convnext_large_d_320.laion2B-s29B-b131K-ft-soup"
    hub.repositories[name] = hub.repositories["me/mine"]
    bundle = fetch(f"hf:{name}@{COMMIT}")
    assert bundle.name == f"hf--{name.replace('/', '--')}--{COMMIT[:12]}"
    assert find_bundle(f"hf:{name}@{COMMIT}") == bundle.folder


# --- what changes between two fetches


def test_a_branch_that_moved(hub: Hub, bundles: Path) -> None:
    first = fetch().sha256
    remove_bundle("hf--me--mine")
    hub.commit, hub.former, said = NEW, {COMMIT}, []
    assert fetch(said=said).sha256 == first
    (line,) = (line for line in said if "commit" in line)
    record = record_of(bundles / "hf--me--mine")
    assert COMMIT in line and NEW in line and "the default branch is now at" in line and str(record) in line
    remove_bundle("hf--me--mine")
    hub.former = set()
    error = refused()
    assert COMMIT in error.message and NEW in error.message and f"delete {record}" in str(error.hint)
    record.unlink()
    said.clear()
    assert fetch(said=said).sha256 == first and not any(COMMIT in line for line in said)


def test_the_branch_that_moved_is_named(hub: Hub) -> None:
    fetch("hf:me/mine@main")
    remove_bundle("hf--me--mine--main")
    hub.commit = NEW
    assert "me/mine: main is now at commit" in refused("hf:me/mine@main").message


def test_other_content_than_the_hub_lists(hub: Hub, bundles: Path) -> None:
    hub.lie = {WEIGHTS}
    error = refused()
    assert f"me/mine: {WEIGHTS} is not the expected file: hub's hash" in error.message
    assert not list(bundles.rglob(f"*{WEIGHTS}"))
    hub.lie = set()
    assert verify_bundle(fetch().folder)


# --- what the network does


def test_a_server_that_always_stops_in_the_middle(hub: Hub, bundles: Path) -> None:
    """Each attempt brings some bytes, so huggingface_hub resumes without end; what came is not lost."""
    hub.cut_after, hub.always_cut = 1500, True
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(350)  # it resumes by calling itself: this is the end, sooner
    try:
        error = refused()
    finally:
        sys.setrecursionlimit(limit)
    assert "me/mine: the connection was lost too often" in error.message and "same command resumes" in str(error.hint)
    hub.cut_after, hub.requests = None, []
    assert verify_bundle(fetch().folder)
    assert [span for path, span in hub.downloads() if WEIGHTS in path and span != "bytes=0-"]


def test_a_server_that_sends_nothing_any_more(hub: Hub, bundles: Path) -> None:
    hub.answers[f"{FILES}/{WEIGHTS}"] = (200, {}, None)
    error = refused()
    assert "me/mine: no connection" in error.message and "same command resumes" in str(error.hint)
    hub.answers.clear()
    assert verify_bundle(fetch().folder)


def test_a_server_that_does_not_answer(hub: Hub, bundles: Path) -> None:
    hub.answers[API] = (200, {}, None)
    assert "me/mine: no connection" in refused().message and is_clean(bundles)


def test_a_file_that_ends_early(hub: Hub, bundles: Path) -> None:
    """The server has less than the hub lists: a mirror with another version."""
    hub.answers[f"{FILES}/{WEIGHTS}"] = (200, {}, hub.repositories["me/mine"][WEIGHTS][:4000])
    assert "the download was interrupted" in refused().message
    hub.answers[f"{FILES}/{WEIGHTS}"] = (416, {}, b"")
    assert f"{WEIGHTS} is shorter than the server lists it" in refused().message
    hub.answers.clear()  # what there was is not taken up again
    assert verify_bundle(fetch().folder) and hub.downloads()[-1][1] is None


def test_a_network_that_does_not_exist(hub: Hub, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("http://127.0.0.1:9", "http://no-such-host.invalid", "mirror-without-a-scheme.example"):
        monkeypatch.setattr(constants, "ENDPOINT", url)
        error = refused()
        assert "me/mine: no connection" in error.message and is_clean(bundles)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in refused(code=InputError.exit_code).message


def test_a_proxy_with_its_own_certificate(hub: Hub, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of TLS with a certificate that nobody knows."""
    key, certificate = bundles.parent / "key.pem", bundles.parent / "certificate.pem"
    bundles.parent.mkdir()
    openssl = shutil.which("openssl") or pytest.skip("openssl is not installed")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1")
    command = [openssl, *made, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True) as listener:

        def answer() -> None:
            with suppress(OSError):
                listener.accept()

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setattr(constants, "ENDPOINT", f"https://127.0.0.1:{listener.getsockname()[1]}")
        error = refused()
        thread.join()
    assert "CERTIFICATE_VERIFY_FAILED" in error.message and "SSL_CERT_FILE" in str(error.hint)


@pytest.mark.parametrize("status", [200, 403, 407, 502])
def test_a_proxy_that_answers_with_a_page(status: int, hub: Hub, bundles: Path) -> None:
    hub.answers[API] = (status, HTML, PAGE)
    error = refused()
    assert "me/mine" in error.message and "HF_ENDPOINT" in str(error.hint) and is_clean(bundles)
    if status != 200:
        assert f"web page instead of the hub's (HTTP status {status})" in error.message


def test_a_proxy_that_answers_with_a_page_for_a_file(hub: Hub, bundles: Path) -> None:
    hub.answers[f"{FILES}/{WEIGHTS}"] = (200, HTML, PAGE)
    assert f"the answer is a web page instead of {WEIGHTS}" in refused().message
    assert is_clean(bundles)
    hub.answers.clear()
    assert verify_bundle(fetch().folder) and hub.downloads()[-1][1] is None


# --- what the disk does


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write more to a file: a disk that is full does it alike, with another number."""
    resource = pytest.importorskip("resource")
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_disk_that_takes_no_more(hub: Hub, bundles: Path) -> None:
    with largest_file(100_000):
        error = refused()
    assert "File too large" in error.message and "BIMORS_HOME" in str(error.hint)
    assert staging(bundles / "hf--me--mine").is_dir()  # taken up by the same command, or removed:
    assert remove_bundle("hf--me--mine") > 0 and is_clean(bundles)
    assert verify_bundle(fetch().folder)


def test_too_little_room_is_said_with_sizes(hub: Hub, bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1_500_000))
    error = refused()
    size = sum(map(len, hub.repositories["me/mine"].values())) / 1e6
    assert "not enough disk space: 3." in error.message and "1.5 MB are free" in error.message and size > 3
    assert not any(WEIGHTS in path for path, _ in hub.downloads())
    for needed, shown in ((3e9, "3.0 GB are needed, 1.5 MB are free"), (2e6, "2.0 MB are needed")):
        with pytest.raises(BundleError, match=shown):
            check_space(bundles / "x", int(needed))
