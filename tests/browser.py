"""A page in Debian's Chromium, opened from the disk."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


class Browser:
    """A page in Chromium, and what it did."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path) -> None:
        self.driver.get(path.resolve().as_uri())
        self.script("return document.title")

    def script(self, text: str, *args: object) -> Any:
        return self.driver.execute_script(text, *args)

    def text(self, selector: str) -> str:
        shown = str(self.script("return document.querySelector(arguments[0]).innerText", selector))
        return shown.replace("\u00a0", " ")

    def texts(self, selector: str) -> list[str]:
        """The text of every element."""
        return list(
            self.script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)
        )

    def wait(self, condition: str, *args: object) -> None:
        """Wait until an expression is true."""
        for _ in range(200):
            if self.script(f"return Boolean({condition})", *args):
                return
            time.sleep(0.05)
        raise AssertionError(f"not within ten seconds: {condition}")

    def slide(self, value: int) -> None:
        """Move the slider with the keyboard, as a user may."""
        from selenium.webdriver.common.by import By
        from selenium.webdriver.common.keys import Keys

        slider = self.driver.find_element(By.ID, "threshold")
        slider.send_keys(Keys.HOME, Keys.ARROW_RIGHT * value)

    def click(self, selector: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def keys(self, selector: str, *keys: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.CSS_SELECTOR, selector).send_keys(*keys)

    def click_tile(self, number: int) -> None:
        """Click into the middle of a tile with a real mouse event."""
        from selenium.webdriver.common.action_chains import ActionChains

        x, y = self.script(
            "const [x, y, w, h] = map.onScreen(arguments[0]), f = map.canvas.getBoundingClientRect();"
            "return [f.left + (x + w / 2) / map.ratio, f.top + (y + h / 2) / map.ratio]",
            number,
        )
        chain = ActionChains(self.driver)
        chain.w3c_actions.pointer_action.move_to_location(round(x), round(y))
        chain.w3c_actions.pointer_action.click()
        chain.perform()

    def pixel(self, selector: str, x: float, y: float) -> list[int]:
        """The colour of a canvas at a share of its width and height, once it is drawn."""
        return list(
            self.driver.execute_async_script(
                "const [selector, x, y, done] = arguments, canvas = document.querySelector(selector);"
                "setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(Array.from(canvas."
                "getContext('2d').getImageData(canvas.width * x, canvas.height * y, 1, 1).data)))), 100)",
                selector, x, y,
            )
        )  # fmt: skip

    def type(self, *keys: str) -> None:
        """Press keys where the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def download(self, folder: Path, name: str, click: str) -> bytes:
        """Click, and return the file that this downloads to a folder."""
        self.driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder.resolve())}
        )
        self.click(click)
        for _ in range(200):
            if (folder / name).exists():
                return (folder / name).read_bytes()
            time.sleep(0.05)
        raise AssertionError(f"{name} was not downloaded")

    def requests(self) -> list[str]:
        """The addresses that were asked for, but for what the page itself carries."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        urls = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[Any]:
        """Errors and warnings of the console, breaches of the security policy among them."""
        return list(self.driver.get_log("browser"))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no chromium with chromium-driver: apt-get install chromium chromium-driver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en"):
        options.add_argument(argument)
    options.add_argument("--window-size=1440,900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(20)
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium: Any) -> Browser:
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)  # what is read is gone
    return Browser(chromium)
