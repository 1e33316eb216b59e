"""report.html: complete, self-contained, and the same for hostile names; predictions.csv."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from records import HOSTILE, record

from zoo.finetune import calibration, report
from zoo.finetune.report import charts, curves, words

SECTIONS = {
    "summary", "data", "plan", "training", "confusion", "classes", "calibration", "mistakes", "cost", "repeat",
}  # fmt: skip
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements and text of a page; every element has to be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag}: an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def said(self) -> str:
        return " ".join(" ".join(self.text).replace("\u00a0", " ").split())


@pytest.fixture(scope="module")
def hostile() -> str:
    """The page of a run whose classes have the worst names."""
    return report.html(record((*HOSTILE, "long" * 12, "tulip"), 40), made="2026-01-31")


def test_the_page_has_every_section_and_is_well_formed(hostile: str) -> None:
    page = Page(hostile)
    sections = {attributes["id"] for attributes in page.all("section")}
    assert sections == SECTIONS
    assert {f"#{name}" for name in SECTIONS} == {link["href"] for link in page.all("a") if link.get("class") != "skip"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    said = page.said()
    for expected in (
        "2026-01-31", "a tenth of what it was trained with", "b/<i>.jpg: empty file", "two pictures are the same",
        "Most confident mistakes", "1 min 2 s", "3.15.1", "zoo finetune made-up 'pictures & more' --seed 0",
    ):  # fmt: skip
        assert expected in said


def test_hostile_names_are_text(hostile: str) -> None:
    page = Page(hostile)
    assert len(page.all("script")) == 1
    assert all("onerror" not in attributes and attributes["src"] != "x" for attributes in page.all("img"))
    for name in HOSTILE:
        assert name in page.said()


def test_nothing_points_outside(hostile: str) -> None:
    for _, attributes in Page(hostile).elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    assert set(re.findall(r"url\(([^)]*)\)", hostile)) == {"#hatch"}
    assert "@import" not in hostile
    assert "default-src 'none'" in hostile


def test_pictures_and_charts_can_be_read_aloud(hostile: str) -> None:
    page = Page(hostile)
    assert len(page.all("img")) > 20
    assert all(attributes.get("alt") for attributes in page.all("img"))
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in page.all("svg"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))


def test_a_thousand_classes_make_a_page_of_bounded_size_that_says_what_it_leaves_out() -> None:
    names = tuple(f"class number {number}" for number in range(1000))
    text = report.html(record(names, 4))
    assert len(text.encode()) < 3_000_000
    said = Page(text).said()
    assert "970 classes between them are left out here" in said
    assert "With 1,000 classes the matrix is not drawn" in said
    assert "The 100 worst are shown; 900 better ones are left out here" in said
    assert "kinds of mistake are left out of this table" in said


def test_a_solved_classifier_shows_what_was_compared_instead_of_curves() -> None:
    made = record(("a", "b", "c"), 24)
    compared = [
        {"features": ["bottleneck"], "classifier": "logistic", "C": 1.0, "views": 1, "accuracy": 0.9},
        {"features": ["bottleneck", "early"], "classifier": "svm", "C": 0.1, "views": 5, "accuracy": 0.95,
         "deviation": 0.01},
    ]  # fmt: skip
    score = {"accuracy": 0.95, "deviation": 0.01, "folds": 5, "compared": compared}
    made = replace(made, history=[], metrics={**made.metrics, "chosen": {"C": 0.1, "cross_validation": score}})
    said = Page(report.html(made)).said()
    assert "there are no epochs and no curves" in said
    assert "bottleneck and 1 more · svm · C 0.1 · views 5" in said
    assert "95.0 ± 1.0 %" in said
    assert "the images held out had no part in it" in said


def test_folds_are_a_table_and_all_images_are_measured() -> None:
    made = record(("a", "b"), 20)
    every = np.arange(40)
    sure = np.eye(2, dtype=np.float32)[made.labels] * 0.8 + 0.1
    folds = [{"fold": n, "accuracy": 0.9 + n / 100, "balanced_accuracy": 0.9, "images": 8} for n in range(1, 6)]
    metrics = {**made.metrics, "cross_validation": {"accuracy": 0.93, "deviation": 0.014, "folds": 5}, "folds": folds}
    text = report.html(replace(made, measured=every, probabilities=sure, metrics=metrics))
    page = Page(text)
    assert "cross-validation" in {attributes["id"] for attributes in page.all("section")}
    said = page.said()
    assert "40 of 40 images were named right; each was answered by a model of the cross-validation" in said
    assert "93.0 ± 1.4 %" in said
    assert "95.0 %" in said


def test_without_mistakes_the_closest_calls_are_shown() -> None:
    said = Page(report.html(record(("a", "b", "c"), 24, right=1.0))).said()
    assert "No image was named wrong; these are the answers it was least sure of" in said
    assert "No class was taken for another" in said
    assert "No temperature could be fitted" in said


def test_a_network_without_feature_maps_has_no_maps_and_says_so() -> None:
    made = record(("a", "b", "c"), 24)
    assert "No Grad-CAM" not in Page(report.html(made)).said()
    vectors = keras.Input((8,))
    flat = keras.Model(vectors, keras.layers.Softmax()(keras.layers.Dense(3)(vectors)), name="flat")
    assert "No Grad-CAM: flat: has no feature map" in Page(report.html(replace(made, model=flat))).said()


def test_old_and_new_classes_are_told() -> None:
    made = record(("a", "b"), 16)
    kept = {"old_classes": 1000, "accuracy_new": 0.7012, "agreement": 0.9, "sentence": "Kept classes: as before"}
    empty = (*made.classes, *(f"old {number}" for number in range(50)))
    wider = np.pad(made.probabilities, ((0, 0), (0, 50)))
    metrics = {**made.metrics, "keep_classes": kept}
    said = Page(report.html(replace(made, metrics=metrics, classes=empty, probabilities=wider))).said()
    assert "Accuracy new 70.1 %" in said
    assert "Old classes 1,000" in said
    assert "Kept classes: as before" in said
    assert "50 other classes of the model have no image here" in said
    assert "not measured" not in said
    assert "50 classes without images and answers are left out" in said


def test_images_set_aside_are_told_apart() -> None:
    made = record(("a", "b"), 16)
    test = {"images": 20, "accuracy": 0.85, "accuracy_interval": [0.64, 0.948]}
    said = Page(report.html(replace(made, metrics={**made.metrics, "test": test}))).said()
    assert "Test accuracy 85.0 % 20 images set aside, 95 % interval 64.0 % to 94.8 %" in said


def test_a_temperature_that_was_applied_is_told_with_what_it_did() -> None:
    made = record(("a", "b", "c"), 40)
    labels = made.labels[made.measured]
    found = calibration.calibrate(made.probabilities, labels)
    stored = json.loads(json.dumps({**asdict(found), "applied": True}))
    scaled = calibration.scale(made.probabilities, found.temperature)
    metrics = {**made.metrics, "calibration": stored}
    said = Page(report.html(replace(made, probabilities=scaled, metrics=metrics))).said()
    assert f"Before At temperature {found.temperature:.2f}" in said
    assert f"Expected calibration error {found.error_before:.3f} {found.error_after:.3f}" in said
    assert "is folded into the model, as asked by --calibrate" in said
    assert "load_run" not in said
    # Where the page is of folds, the table says that its figures are of other images; a temperature of 1 is none.
    metrics |= {"validation_images": 12, "chosen": {"views_compared": {"1 view": 0.5, "5 views": 1.0}}}
    said = Page(report.html(replace(made, probabilities=scaled, metrics=metrics))).said()
    assert "Of the final model, on the 12 images held out" in said
    assert "1 view: 50.0 %, 5 views: 100.0 %" in said
    stored["temperature"] = 1.0
    said = Page(report.html(replace(made, metrics=metrics))).said()
    assert "is folded into the model" not in said
    assert "No temperature could be fitted" in said


def test_long_settings_are_told_shortly() -> None:
    assert words.say([f"class {number}" for number in range(1000)]) == "1,000: class 0, class 1, class 2 …"
    assert words.say([0.5 + number for number in range(20)]) == "20, from 0.5 to 19.5"
    assert words.say([224, 192]) == "224 × 192"
    assert words.say([0.5, 2.0]) == "0.5, 2"
    assert words.say({"smallest": [8, 9], "largest": None}) == "smallest 8 × 9"
    assert [words.duration(seconds) for seconds in (4.21, 200, 7500)] == [
        "4.2\u00a0s",
        "3\u00a0min 20\u00a0s",
        "2\u00a0h 5\u00a0min",
    ]


def test_predictions_are_written_beside_the_page(tmp_path: Path) -> None:
    made = record((*HOSTILE, "tulip"), 16)
    report.write(made, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "report.html"]
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(made.measured) == 16
    assert tuple(rows[0]) == report.COLUMNS
    for row, position, probabilities in zip(rows, made.measured, made.probabilities, strict=True):
        order = np.argsort(-probabilities)
        assert row["path"] == made.items[position]
        assert row["class"] == made.classes[made.labels[position]]
        assert (row["predicted"], row["second"]) == (made.classes[order[0]], made.classes[order[1]])
        assert row["correct"] == str(bool(order[0] == made.labels[position]))
        assert float(row["probability_of_class"]) == pytest.approx(probabilities[made.labels[position]], abs=1e-6)
        assert row["part"] == "validation"


def test_curves_have_gaps_where_there_is_no_number() -> None:
    phases = [curves.Phase("head", 0, 4, best=2)]
    drawn = curves.lines("Loss", [curves.Line("held out", [None, 1.0, float("nan"), 0.5], "second")], range(4), phases)
    assert drawn is not None
    assert "nan" not in drawn.lower()
    assert drawn.count("M") == 1
    assert curves.lines("Loss", [curves.Line("training", [None, None], "first")], range(2), phases) is None


def test_one_number_makes_a_chart() -> None:
    phases = [curves.Phase("head", 0, 1)]
    for logarithmic in (False, True):
        drawn = curves.lines("Rate", [curves.Line("rate", [0.001], "first")], [0], phases, logarithmic=logarithmic)
        assert drawn is not None
        assert "<circle" in drawn


def test_the_heat_map_shades_by_the_share_of_the_row() -> None:
    drawn = charts.confusion([[3, 1], [0, 0]], ["a", "b"], "matrix")
    shades = re.findall(r'class="heat (\w+)" fill-opacity="([\d.]+)"', drawn)
    assert shades == [("right", "0.78"), ("wrong", "0.34")]


# A browser

PROBE = """
document.querySelector("#classes th button").click();
const wide = document.documentElement.scrollWidth > window.innerWidth;
document.documentElement.dataset.wide = wide;
"""


def chromium() -> str:
    """The browser, or the reason why there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROME") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"no browser: none of {', '.join(names)} is on PATH and CHROME is not set (apt install chromium)")
    return found


def visit(page: Path, folder: Path, size: str, *more: str) -> tuple[Image.Image, str, list[str], list[str]]:
    """Opens a page; returns its picture, its elements after scripts ran, console messages, addresses it asked for."""
    browser = chromium()
    run = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}", "--enable-logging=stderr",
            f"--window-size={size}", f"--screenshot={folder / 'shot.png'}", "--dump-dom", *more, page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    log = json.loads((folder / "net.json").read_text())
    kinds = log["constants"]["logEventTypes"]
    # The browser asks for things of its own; what a page of a file asks for has the initiator "null".
    asked = [
        event["params"]["url"]
        for event in log["events"]
        if event["type"] == kinds["URL_REQUEST_START_JOB"] and event["params"].get("initiator") == "null"
    ]
    console = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
    with Image.open(folder / "shot.png") as shot:
        return shot.convert("RGB"), run.stdout, console, asked


def shades(picture: Image.Image) -> int:
    colours = picture.getcolors(picture.width * picture.height)
    assert colours is not None
    return len(colours)


def test_a_browser_shows_it_without_errors_and_without_the_network(hostile: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(hostile, encoding="utf-8")
    picture, dom, console, asked = visit(tmp_path / "report.html", tmp_path, "1200,2400")
    assert console == []
    assert asked == []
    assert picture.size == (1200, 2400)
    assert shades(picture) > 500
    for part in range(3):
        assert shades(picture.crop((0, part * 800, 1200, (part + 1) * 800))) > 50
    for name in SECTIONS:
        assert f'<section id="{name}"' in dom
    # The script ran: its hash is the one that the page allows.
    assert dom.count("<button") > hostile.count("<button")


def test_a_phone_in_dark_mode_shows_it_and_its_tables_sort(hostile: str, tmp_path: Path) -> None:
    """Also the counter-check of the test above: what asks for the network, or fails, is seen."""
    text = re.sub(r"<meta http-equiv[^>]*>", "", hostile)
    text = text.replace("</body>", f"<img src='http://127.0.0.1:9/x.png'><script>{PROBE} nonsense();</script></body>")
    (tmp_path / "probe.html").write_text(text, encoding="utf-8")
    picture, dom, console, asked = visit(tmp_path / "probe.html", tmp_path, "400,1600", "--force-dark-mode")
    assert asked == ["http://127.0.0.1:9/x.png"]
    assert any("nonsense" in line for line in console)
    assert picture.size == (400, 1600)
    assert sum(picture.getpixel((2, 2))) < 150
    assert shades(picture) > 300
    assert 'data-wide="false"' in dom
    assert '<th scope="col" aria-sort="descending"><button' in dom
    table = dom[dom.index('id="classes"') : dom.index('id="calibration"')]
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th>', table[table.index("<tbody") : table.index("<tfoot")])
    assert rows[0] == "tulip"
    assert len(rows) == 5
