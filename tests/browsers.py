"""A real browser for tests: headless Chromium, which root on Debian gets installed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from slurm_programs import Unavailable, install

SIZES = ((1280, 800), (390, 844))
_OPTIONS = (
    *("--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--hide-scrollbars", "--force-device-scale-factor=1"),
)


def why_none() -> str:
    """Why there is no browser here; empty if there is one, which may just have been installed."""
    if importlib.util.find_spec("selenium") is None:
        return "selenium is not installed"
    try:
        install(["chromium", "chromedriver"], ["chromium", "chromium-driver", "fonts-dejavu-core"])
    except Unavailable as error:
        return f"there is no Chromium: {error}"
    return ""


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """A browser without a window, driven by Selenium; the test is skipped if there is none."""
    if why := why_none():
        pytest.skip(why)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def emulate(driver: Any, width: int, height: int) -> None:
    """Give the page this size in CSS pixels, as a phone or a window has it."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
    )


def overflowing(driver: Any) -> list[str]:
    """What is wider than the page, and does not scroll by itself."""
    found = driver.execute_script(
        """
        const wide = [];
        for (const one of document.querySelectorAll("body *")) {
            if (one.closest(".wide, pre, dialog:not([open])")) continue;
            if (one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
                wide.push(one.tagName + "#" + one.id + "." + one.className);
        }
        return wide;
        """
    )
    assert isinstance(found, list)
    return found


def check_layout(driver: Any, picture: Callable[[int, int], Path | None]) -> None:
    """Nothing of the page is cut off, on a screen and on a phone.

    ``picture`` names the file in which the page of a size is kept.
    """
    for width, height in SIZES:
        emulate(driver, width, height)
        assert overflowing(driver) == [], (width, height)
        if (path := picture(width, height)) is not None:
            driver.execute_script("window.scrollTo(0, 0)")
            driver.save_screenshot(str(path))
