"""Texts as examples of further pre-training: what is masked, what is joined, and which sentences are paired."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from trackbridge.errors import DataError, PipelineConfigError
from trackbridge.finetune.blocks.stages import Pretraining
from trackbridge.finetune.model import word_tokenizer
from trackbridge.finetune.objectives import TextCollator, targets_for
from trackbridge.finetune.techniques.masking import IGNORED, TokenMasks, masks_for
from trackbridge.finetune.techniques.sentence_pairs import SentencePair, sentence_pairs, sentences_of
from trackbridge.finetune.text_examples import Visits, blocks_of, held_out_apart, pairs_encoded, static

# what is masked


def example_of(words: Sequence[int], seed: int = 0) -> dict[str, Any]:
    return {"input_ids": [100 + place for place in range(len(words))], "words": list(words), "mask_seed": seed}


def test_fifteen_percent_are_predicted_of_which_eighty_are_hidden_and_ten_are_random() -> None:
    masks = TokenMasks(0.15, whole_words=False, mask_id=1, replacements=range(10, 100))
    fates: Counter[str] = Counter()
    for seed in range(300):
        given = example_of([-1, *range(200), -1], seed)
        masked = masks(given)
        predicted = [place for place, label in enumerate(masked["labels"]) if label != IGNORED]
        assert len(predicted) == 30
        assert not {0, 201} & set(predicted)
        for place, (was, now) in enumerate(zip(given["input_ids"], masked["input_ids"], strict=True)):
            if place not in predicted:
                assert now == was
            else:
                assert masked["labels"][place] == was
                fates["hidden" if now == 1 else "kept" if now == was else "random"] += 1
    shares = {fate: count / fates.total() for fate, count in fates.items()}
    # 9,000 draws: three standard errors are .013 and .009
    assert shares == {
        "hidden": pytest.approx(0.8, abs=0.013),
        "random": pytest.approx(0.1, abs=0.01),
        "kept": pytest.approx(0.1, abs=0.01),
    }


def test_a_short_text_has_one_token_predicted() -> None:
    masks = TokenMasks(0.15, whole_words=False, mask_id=1, replacements=[10])

    assert sum(label != IGNORED for label in masks(example_of([-1, 0, 1, -1]))["labels"]) == 1


def test_whole_words_are_predicted_in_all_their_pieces_or_in_none() -> None:
    masks = TokenMasks(0.15, whole_words=True, mask_id=1, replacements=[10])
    words = [-1, *(word for word in range(40) for _ in range(1 + word % 3)), -1]
    n_words: Counter[int] = Counter()
    for seed in range(200):
        labels = masks(example_of(words, seed))["labels"]
        chosen = {word for word, label in zip(words, labels, strict=True) if label != IGNORED}
        assert chosen == {word for word in chosen if word >= 0}
        assert all((label != IGNORED) == (word in chosen) for word, label in zip(words, labels, strict=True))
        assert sum(label != IGNORED for label in labels) in {10, 11, 12}
        n_words.update(chosen)
    assert set(n_words) == set(range(40))


def test_a_mask_follows_from_its_seed_alone() -> None:
    masks = TokenMasks(0.15, whole_words=False, mask_id=1, replacements=range(10, 100))
    given = example_of(range(60), seed=5)

    first = masks(given)
    random.seed(1)
    torch.manual_seed(1)

    assert masks(given) == first
    assert masks({**given, "mask_seed": 6}) != first


def test_an_example_has_another_mask_at_each_visit_and_a_held_out_one_always_the_same() -> None:
    examples = [example_of(range(60)) for _ in range(3)]
    visits = Visits(examples, seed=1)

    seeds = []
    for visit in range(4):
        visits.visit = visit
        seeds += [visits[number]["mask_seed"] for number in range(3)]

    assert len(set(seeds)) == 12
    assert static(examples) == static(examples)
    assert len({example["mask_seed"] for example in static(examples)}) == 3


# blocks and pairs

TEXTS = ["the boy sees it .", "it sees the boys ."]


def test_texts_are_joined_and_cut_into_blocks_with_separators_between() -> None:
    tokenizer = word_tokenizer(TEXTS, max_length=32)

    blocks = blocks_of([TEXTS, TEXTS[:1]], tokenizer, block_size=9)

    read = [" ".join(tokenizer.convert_ids_to_tokens(block["input_ids"])) for block in blocks]
    assert read == [
        "[CLS] the boy sees it . [SEP] it [SEP]",
        "[CLS] sees the boys . [SEP] the boy [SEP]",
        "[CLS] sees it . [SEP]",
    ]
    for block in blocks:
        in_text = [word for word in block["words"] if word >= 0]
        assert len(set(in_text)) == len(in_text)
        assert [word < 0 for word in block["words"]] == [token in (2, 3) for token in block["input_ids"]]


def test_a_block_in_which_nothing_is_left_to_predict_is_none() -> None:
    """Of a separator that stands alone behind the last cut; the mean loss over no token is no number."""
    tokenizer = word_tokenizer(TEXTS, max_length=32)

    blocks = blocks_of([TEXTS], tokenizer, block_size=len(" ".join(TEXTS).split()) + 3)

    (read,) = [" ".join(tokenizer.convert_ids_to_tokens(block["input_ids"])) for block in blocks]
    assert read == "[CLS] the boy sees it . [SEP] it sees the boys . [SEP]"


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "boy", "##s", "see", "the", "##ing"]
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = {f"{name.strip('[]').lower()}_token": name for name in pieces[:5]}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def test_the_pieces_of_a_word_share_its_number() -> None:
    (block,) = blocks_of([["the boys seeing", "boys"]], wordpiece_tokenizer(), block_size=32)

    assert block["words"] == [-1, 0, 1, 1, 2, 2, -1, 6, 6, -1]


def test_with_whole_words_a_batch_hides_every_piece_of_a_word_or_none_of_them() -> None:
    tokenizer = wordpiece_tokenizer()
    told = {"objective": "mlm", "text": {"builtin": "acceptability"}, "mask_share": 0.3}
    blocks = static(blocks_of([["the boys seeing the boys"]] * 40, tokenizer, block_size=10))

    def torn_words(*, whole_words: bool) -> int:
        targets = targets_for(Pretraining.model_validate({**told, "whole_words": whole_words}), tokenizer)
        hidden = (TextCollator(targets, tokenizer)(blocks)["labels"] != IGNORED).tolist()
        torn = 0
        for row, block in zip(hidden, blocks, strict=True):
            fates: dict[int, set[bool]] = {}
            for word, is_hidden in zip(block["words"], row, strict=False):
                fates.setdefault(word, set()).add(is_hidden)
            torn += sum(len(fate) == 2 for word, fate in fates.items() if word >= 0)
        return torn

    assert torn_words(whole_words=True) == 0
    assert torn_words(whole_words=False) > 10


def test_pairs_tell_the_sentences_apart_and_who_follows_whom() -> None:
    tokenizer = word_tokenizer(TEXTS, max_length=32)

    following, random_pair = pairs_encoded(
        [SentencePair(*TEXTS, is_next=True), SentencePair(*TEXTS, is_next=False)], tokenizer, max_length=9
    )

    assert following["next_sentence_label"] == 0
    assert random_pair["next_sentence_label"] == 1
    read = " ".join(tokenizer.convert_ids_to_tokens(following["input_ids"]))
    assert read == "[CLS] the boy sees [SEP] it sees the [SEP]"
    assert following["token_type_ids"] == [0] * 5 + [1] * 4
    assert following["words"] == [-1, 0, 1, 2, -1, 9, 10, 11, -1]


def test_a_tokenizer_that_does_not_tell_two_sentences_apart_makes_no_pairs() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece_tokenizer().backend_tokenizer, pad_token="[PAD]")
    tokenizer.model_input_names = ["input_ids", "attention_mask"]

    with pytest.raises(PipelineConfigError, match="does not tell two sentences apart: choose mlm or clm, or another"):
        pairs_encoded([SentencePair(*TEXTS, is_next=True)], tokenizer, max_length=9)


def test_half_of_the_pairs_follow_each_other_and_the_others_are_of_two_documents() -> None:
    documents = [[f"{number} {place}" for place in range(5)] for number in range(400)]

    pairs = sentence_pairs(documents, random.Random(1))

    assert [pair.first for pair in pairs] == [text for document in documents for text in document[:-1]]
    split = [(*pair.first.split(), *pair.second.split(), pair.is_next) for pair in pairs]
    assert all((a, int(b) + 1) == (c, int(d)) for a, b, c, d, is_next in split if is_next)
    assert all(a != c for a, _, c, _, is_next in split if not is_next)
    # 1,600 coins: three standard errors are .0375
    assert sum(pair.is_next for pair in pairs) / len(pairs) == pytest.approx(0.5, abs=0.0375)
    assert len({c for _, _, c, _, is_next in split if not is_next}) > 300


def test_paragraphs_are_cut_into_sentences() -> None:
    text = 'He saw " Mars " . It was 3 @.@ 5 km away . " It is far ! " she said . then nothing .'

    assert sentences_of(text) == [
        'He saw " Mars " .',
        "It was 3 @.@ 5 km away .",
        '" It is far ! " she said . then nothing .',
    ]


@pytest.mark.parametrize("documents", [[["One .", "Two ."]], [["One ."], ["Two ."]]])
def test_without_two_documents_or_two_sentences_there_are_no_pairs(documents: list[list[str]]) -> None:
    with pytest.raises(DataError, match="needs two documents or more, some of them of several sentences"):
        sentence_pairs(documents, random.Random(1))


def test_what_is_held_out_follows_from_the_texts_and_equal_documents_stay_together() -> None:
    documents = [[f"text {number % 60}"] for number in range(80)]

    trained, held_out = held_out_apart(documents, 0.1)
    shuffled = random.Random(1).sample(documents, 80)

    assert len({tuple(document) for document in held_out}) == 6
    assert not {tuple(document) for document in held_out} & {tuple(document) for document in trained}
    assert sorted(map(tuple, held_out_apart(shuffled, 0.1)[1])) == sorted(map(tuple, held_out))
    with pytest.raises(DataError, match="the texts are one document: part them by empty lines"):
        held_out_apart([["One ."], ["One ."]], 0.5)


def test_a_tokenizer_without_a_mask_token_cannot_mask() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=wordpiece_tokenizer().backend_tokenizer)

    with pytest.raises(PipelineConfigError, match="no mask token: choose clm, or another model"):
        masks_for(tokenizer, share=0.15, whole_words=False)
