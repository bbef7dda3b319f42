"""Unlabelled texts from every kind of source, cut into documents where their authors did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trackbridge.errors import DataError
from trackbridge.finetune.blocks.text import BuiltinText, HubText, LocalText
from trackbridge.finetune.text import Texts, load_texts


def texts_of(folder: Path, content: str, *, suffix: str = "txt", **told: Any) -> Texts:
    (folder / f"texts.{suffix}").write_text(content, encoding="utf-8", newline="")
    return load_texts(LocalText.model_validate({"folder": folder, "files": [f"texts.{suffix}"], **told}))


def test_empty_lines_part_documents(tmp_path: Path) -> None:
    found = texts_of(tmp_path, "One .\nTwo .\n\n \nThree .\n")

    assert found.documents == [["One .", "Two ."], ["Three ."]]


def test_without_an_empty_line_every_line_is_a_document(tmp_path: Path) -> None:
    assert texts_of(tmp_path, "One .\r\nTwo .\r\nThree .").documents == [["One ."], ["Two ."], ["Three ."]]


WIKITEXT = """\

 = First article =

 It begins . \n It goes on .

 = = A section = =

 = = = Below it = = =

 It ends . \n
 = Second article =

 a = b + c =
 The other one .
"""


def test_titles_part_articles_and_no_heading_is_a_text(tmp_path: Path) -> None:
    found = texts_of(tmp_path, WIKITEXT)

    assert found.documents == [
        ["It begins .", "It goes on .", "It ends ."],
        ["a = b + c =", "The other one ."],
    ]


def test_a_column_of_a_table_has_a_text_a_row(tmp_path: Path) -> None:
    tsv = texts_of(tmp_path, 'id\tsentence\n1\tHe said "no\n2\tYes .\n', suffix="tsv", column="sentence")
    jsonl = texts_of(tmp_path, '{"text": "One\\ntwo"}\n{"text": "Three"}\n', suffix="jsonl")
    numbered = texts_of(tmp_path, '"a, b",1\nc,2\n', suffix="csv", header=False, column=1)

    assert tsv.documents == [['He said "no'], ["Yes ."]]
    assert jsonl.documents == [["One\ntwo"], ["Three"]]
    assert numbered.documents == [["a, b"], ["c"]]


def test_several_files_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One .\nTwo .\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Three .\n\nFour .\n", encoding="utf-8")

    found = load_texts(LocalText(folder=tmp_path, files=[Path("b.txt"), Path("a.txt")]))

    assert found.documents == [["Three ."], ["Four ."], ["One ."], ["Two ."]]


def test_a_folder_of_files_loads_through_the_datasets_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "wikitext"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "One ."}\n{"text": ""}\n{"text": "Two ."}\n', encoding="utf-8")

    assert load_texts(HubText(hub=str(folder))).documents == [["One ."], ["Two ."]]


def test_the_digest_is_that_of_the_texts_and_their_order(tmp_path: Path) -> None:
    one = texts_of(tmp_path, "One .\nTwo .\n")

    assert one.sha256 == texts_of(tmp_path, "One . \r\nTwo .").sha256
    assert one.sha256 != texts_of(tmp_path, "Two .\nOne .\n").sha256
    assert one.sha256 != texts_of(tmp_path, "One .\nTwo .\n\nThree .").sha256


def test_built_in_documents_are_acceptable_sentences_about_one_noun() -> None:
    found = load_texts(BuiltinText(builtin="acceptability", sentences=500))
    more = load_texts(BuiltinText(builtin="acceptability", sentences=1000))

    assert sum(map(len, found.documents)) == 500
    assert {len(document) for document in found.documents} >= {5}
    for document in found.documents:
        assert set.intersection(*(set(sentence.split()) for sentence in document)) - {"."}
    assert [d for d in found.documents if len(d) == 5] == more.documents[: sum(len(d) == 5 for d in found.documents)]
    assert load_texts(BuiltinText(builtin="acceptability", sentences=500, corpus=2)).sha256 != found.sha256


@pytest.mark.parametrize(
    ("content", "told", "problem"),
    [
        ("\n \n", {}, "DATA/texts.txt: no texts in it"),
        ("id\n1\n", {"suffix": "tsv"}, "DATA/texts.tsv, line 2: no column 'text' (known: id)"),
        ('{"text": 3}', {"suffix": "jsonl"}, "DATA/texts.jsonl, line 1: column 'text' holds 3, expected a text"),
        ("a\tb\nc\n", {"suffix": "tsv", "column": "a"}, "DATA/texts.tsv, line 2: 1 columns, expected 2 columns (a, b)"),
    ],
)
def test_what_is_no_text_is_pointed_at(tmp_path: Path, content: str, told: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError) as caught:
        texts_of(tmp_path, content, **told)

    assert str(caught.value).replace(str(tmp_path), "DATA").replace("\\", "/").startswith(problem)


def test_an_unknown_suffix_asks_for_the_format() -> None:
    with pytest.raises(ValidationError, match=r"cannot tell the format of texts\.md: set text\.format"):
        LocalText.model_validate({"files": ["texts.md"]})
