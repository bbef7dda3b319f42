"""Data files as people have them: every dialect that is asked for, and every mistake pointed at."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from trackbridge.errors import DataError
from trackbridge.finetune.blocks.data import BuiltinData, HubData, LocalData
from trackbridge.finetune.data import Corpus, Examples, load_corpus
from trackbridge.finetune.description import describe
from trackbridge.finetune.labels import find_labels

TSV = b'gj04\t1\t\tThey said "no" twice.\ngj04\t0\t*\tHe "said.\n'


def corpus_of(folder: Path, train: bytes, dev: bytes | None = None, *, suffix: str = "tsv", **told: Any) -> Corpus:
    (folder / f"train.{suffix}").write_bytes(train)
    (folder / f"dev.{suffix}").write_bytes(train if dev is None else dev)
    files = {"train": f"train.{suffix}", "eval": {"dev": f"dev.{suffix}"}}
    return load_corpus(LocalData.model_validate({"folder": folder, **files, **told}))


def problem_of(folder: Path, train: bytes, **told: Any) -> str:
    with pytest.raises(DataError) as caught:
        corpus_of(folder, train, **told)
    return str(caught.value).replace(str(folder), "DATA")


NUMBERED: dict[str, Any] = {"header": False, "text": 4, "label": 2}
NAMED: dict[str, Any] = {"text": "sentence", "label": "label"}


def test_tsv_without_header_or_quoting_keeps_quotation_marks(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, TSV, **NUMBERED)

    assert corpus.train.texts == ['They said "no" twice.', 'He "said.']
    assert corpus.train.labels == ["1", "0"]


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_last_line_counts_with_and_without_its_newline(tmp_path: Path, ending: bytes) -> None:
    corpus = corpus_of(tmp_path, b"sentence\tlabel\na\t1\nb\t0" + ending, **NAMED)

    assert corpus.train.texts == ["a", "b"]
    assert corpus.train.labels == ["1", "0"]


def test_windows_line_ends_and_byte_order_mark_are_no_content(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, b"\xef\xbb\xbfsentence\tlabel\r\na\t1\r\nb\t0\r\n", **NAMED)

    assert (corpus.train.texts, corpus.train.labels) == (["a", "b"], ["1", "0"])


def test_a_line_separator_inside_a_sentence_does_not_end_it(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "sentence\tlabel\na\u2028b\x0bc\t1\nd\t0\n".encode(), **NAMED)

    assert corpus.train.texts == ["a\u2028b\x0bc", "d"]


def test_csv_obeys_quotation_marks_over_lines(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, b'sentence,label\n"a, ""b""\nc",1\nd,0\n', suffix="csv", **NAMED)

    assert corpus.train.texts == ['a, "b"\nc', "d"]
    assert corpus.train.places[1].endswith("train.csv, line 4")


def test_csv_without_quoting_and_tsv_with_it_are_possible(tmp_path: Path) -> None:
    plain = corpus_of(tmp_path, b'sentence,label\n"a,1\nb,0\n', suffix="csv", quoting="none", **NAMED)
    quoted = corpus_of(tmp_path, b'sentence\tlabel\n"a\tb"\t1\nc\t0\n', quoting="csv", **NAMED)

    assert plain.train.texts == ['"a', "b"]
    assert quoted.train.texts == ["a\tb", "c"]


def test_json_lines_take_names_numbers_and_pairs(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "y", "label": 1}, {"a": "u", "b": "v", "label": 0}]
    content = "\n".join(json.dumps(row) for row in rows).encode()

    corpus = corpus_of(tmp_path, content, suffix="jsonl", text="a", text_pair="b")

    assert (corpus.train.texts, corpus.train.pairs, corpus.train.labels) == (["x", "u"], ["y", "v"], ["1", "0"])


@pytest.mark.parametrize(
    ("content", "told", "problem"),
    [
        (b"a\t1\t\tx\nb\t0\ty\n", NUMBERED, "DATA/train.tsv, line 2: 3 columns, expected 4 columns (1, 2, 3, 4)"),
        (b"a\t1\t\tx\n\nb\t0\t\ty\n", NUMBERED, "DATA/train.tsv, line 2: an empty line, expected 4 columns"),
        (b"a\t1\t\tx\n", {**NUMBERED, "text": 5}, "line 1: no column 5 (known: 1, 2, 3, 4)"),
        (b"sentence\tlabels\nx\t1\n", NAMED, "line 2: no column 'label' (known: labels, sentence); did you mean"),
        (b"sentence\tlabel\nx\t\n", NAMED, "line 2: column 'label' holds '', expected a label"),
        (b"sentence\tsentence\nx\t1\n", NAMED, "line 1: the column 'sentence' comes twice"),
        (b"sentence\tlabel\nx\t1\n\xff\t0\n", NAMED, "DATA/train.tsv, line 3: byte 0xff is not UTF-8"),
        (b"sentence\tlabel\n", NAMED, "DATA/train.tsv: no examples in it"),
        (b"", NAMED, "DATA/train.tsv: no examples in it"),
        (b'sentence,label\nx,1\n"y,0\n', {**NAMED, "format": "csv"}, "line 3: unexpected end of data; if quotation"),
        (b'{"sentence": "x"\n', {**NAMED, "format": "jsonl"}, "DATA/train.tsv, line 1, column 17: not JSON"),
        (b'["x", 1]\n', {**NAMED, "format": "jsonl"}, "line 1: expected a JSON object, found"),
        (b'{"sentence": 3, "label": 1}\n', {**NAMED, "format": "jsonl"}, "column 'sentence' holds 3, expected a text"),
        (b'{"sentence": "x", "label": null}\n', {**NAMED, "format": "jsonl"}, "holds None, expected a label"),
    ],
)
def test_a_bad_line_is_pointed_at(tmp_path: Path, content: bytes, told: dict[str, Any], problem: str) -> None:
    assert problem in problem_of(tmp_path, content, **told)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*nowhere\.tsv: No such file.*; check data\.folder"):
        load_corpus(LocalData.model_validate({"folder": tmp_path, "train": "nowhere.tsv", "eval": {"dev": "x.tsv"}}))


def test_a_folder_of_files_loads_through_the_datasets_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    (tmp_path / "glue").mkdir()
    (tmp_path / "glue" / "train.csv").write_text("sentence,label\na,1\nb,0\n", encoding="utf-8")
    (tmp_path / "glue" / "validation.csv").write_text("sentence,label\nc,1\n", encoding="utf-8")

    corpus = load_corpus(HubData(hub=str(tmp_path / "glue"), text="sentence"))

    assert (corpus.train.texts, corpus.train.labels) == (["a", "b"], ["1", "0"])
    assert corpus.evals["validation"].texts == ["c"]


def test_class_names_of_a_hub_data_set_are_its_labels(tmp_path: Path) -> None:
    import datasets

    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["unacceptable", "acceptable"])}
    )
    for split, label in (("train", 1), ("validation", 0), ("test", -1)):
        table = datasets.Dataset.from_dict({"text": ["x"], "label": [label]}, features=features)
        (tmp_path / "cola").mkdir(exist_ok=True)
        table.to_parquet(str(tmp_path / "cola" / f"{split}.parquet"))

    corpus = load_corpus(HubData(hub=str(tmp_path / "cola")))

    assert corpus.train.labels == ["acceptable"]
    with pytest.raises(DataError, match=r"split test, row 1|line 1: column 'label' holds -1"):
        load_corpus(HubData(hub=str(tmp_path / "cola"), eval={"test": "test"}))


def test_a_data_set_the_hub_does_not_give_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot load split 'train' of the dataset '.*nowhere'"):
        load_corpus(HubData(hub=str(tmp_path / "nowhere")))


def test_description_has_the_digest_of_the_file_the_labels_and_the_majority(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, b"sentence\tlabel\na\t1\nb\t1\nc\t0\n", b"sentence\tlabel\nd\t0\n", **NAMED)

    described = describe(corpus, find_labels(corpus.train, is_regression=False))

    assert described["train"]["sha256"] == hashlib.sha256((tmp_path / "train.tsv").read_bytes()).hexdigest()
    assert described["train"]["labels"] == {"0": 1, "1": 2}
    assert described["train"]["majority_accuracy"] == pytest.approx(2 / 3)
    assert described["eval_dev"]["majority_accuracy"] == 0.0


def test_built_in_sets_do_not_depend_on_each_others_size() -> None:
    small = load_corpus(BuiltinData(builtin="acceptability", train=20, eval={"dev": 10, "test": 10}))
    large = load_corpus(BuiltinData(builtin="acceptability", train=40, eval={"dev": 10, "test": 10}))

    assert small.evals == large.evals
    assert small.evals["dev"].texts != small.evals["test"].texts
    assert small.train.sha256 != large.train.sha256


def examples_with(labels: list[str]) -> Examples:
    places = [f"x.tsv, line {number}" for number in range(1, len(labels) + 1)]
    return Examples("x.tsv", ["text"] * len(labels), None, labels, places, "0" * 64)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["1", "0", "1"], ("0", "1")),
        (["10", "9", "-1"], ("-1", "9", "10")),
        (["neutral", "entailment"], ("entailment", "neutral")),
    ],
)
def test_number_and_order_of_labels_are_found_in_the_training_set(labels: list[str], names: tuple[str, ...]) -> None:
    found = find_labels(examples_with(labels), is_regression=False)

    assert found.names == names
    assert found.numbers(examples_with(labels)) == [names.index(label) for label in labels]


def test_a_label_only_an_eval_set_has_is_pointed_at() -> None:
    labels = find_labels(examples_with(["yes", "no"]), is_regression=False)

    with pytest.raises(DataError, match=r"x\.tsv, line 2: label 'yess' is not in the training set.*did you mean 'yes'"):
        labels.numbers(examples_with(["no", "yess"]))


def test_one_label_is_nothing_to_learn() -> None:
    with pytest.raises(DataError, match="all 2 examples have the label '1'"):
        find_labels(examples_with(["1", "1"]), is_regression=False)


def test_real_numbers_as_classes_ask_for_pearson() -> None:
    with pytest.raises(DataError, match=r"set evaluation\.metric to pearson"):
        find_labels(examples_with(["1.5", "2.0", "3.25"]), is_regression=False)


def test_regression_takes_finite_numbers_only() -> None:
    labels = find_labels(examples_with(["1.5", "2"]), is_regression=True)

    assert labels.numbers(examples_with(["1.5", "2"])) == [1.5, 2.0]
    for wrong in ("nan", "much"):
        with pytest.raises(DataError, match=f"line 1: label '{wrong}' is no finite number"):
            labels.numbers(examples_with([wrong]))
