"""The built-in acceptability grammar: English sentences, 70 % of them acceptable, the others broken in one place.

A stand-in for CoLA (Warstadt et al. 2019, arXiv 1805.12471), which may not be redistributed: the same task, the
same share of acceptable sentences, learnable in seconds. The violations are classics of the field: agreement,
this/these, word order, reflexives and missing verbs. Drawn with a private `random.Random`, whose sequence
is the same in every process and on every platform.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

ACCEPTABLE_SHARE = 0.7
_DOCUMENT_SENTENCES = 5

_PEOPLE = (
    ("boy", "boys", "himself"),
    ("girl", "girls", "herself"),
    ("king", "kings", "himself"),
    ("queen", "queens", "herself"),
    ("uncle", "uncles", "himself"),
    ("aunt", "aunts", "herself"),
    ("monk", "monks", "himself"),
    ("nun", "nuns", "herself"),
    ("waiter", "waiters", "himself"),
    ("actress", "actresses", "herself"),
)
_THINGS = (
    ("book", "books"),
    ("letter", "letters"),
    ("garden", "gardens"),
    ("picture", "pictures"),
    ("house", "houses"),
    ("table", "tables"),
    ("song", "songs"),
    ("lamp", "lamps"),
    ("boat", "boats"),
    ("basket", "baskets"),
)
_INTRANSITIVE = (
    ("sleeps", "sleep"),
    ("laughs", "laugh"),
    ("arrives", "arrive"),
    ("dances", "dance"),
    ("waits", "wait"),
    ("sings", "sing"),
    ("smiles", "smile"),
    ("travels", "travel"),
)
_TRANSITIVE = (
    ("sees", "see"),
    ("likes", "like"),
    ("paints", "paint"),
    ("finds", "find"),
    ("carries", "carry"),
    ("describes", "describe"),
    ("watches", "watch"),
    ("admires", "admire"),
)
_REFLEXIVE = (("praises", "praise"), ("blames", "blame"), ("sees", "see"), ("admires", "admire"), ("trusts", "trust"))
_ADJECTIVES = ("old", "young", "quiet", "happy", "tall", "famous", "clever", "tired")
_PREPOSITIONS = ("near", "behind", "beside", "under", "above")
_DETERMINERS = (("the", "the"), ("the", "the"), ("this", "these"), ("that", "those"), ("every", "some"))
_ADVERBS = ("often", "quietly", "rarely", "today", "again")
_MISMATCHED = {"this": "these", "these": "this", "that": "those", "those": "that", "every": "these", "some": "every"}


@dataclass(frozen=True)
class _Noun:
    """A noun phrase in pieces; `reflexive` is the pronoun that agrees with it, empty for things."""

    determiner: str
    adjective: str
    noun: str
    modifier: tuple[str, ...]
    is_plural: bool
    reflexive: str

    def words(self) -> list[str]:
        return [word for word in (self.determiner, self.adjective, self.noun, *self.modifier) if word]


@dataclass(frozen=True)
class _Clause:
    """A sentence in pieces, so that a violation can replace exactly one. `verb` is (agreeing, clashing)."""

    subject: _Noun
    verb: tuple[str, str]
    complement: list[str]
    adverb: str
    is_question: bool = False

    def words(self) -> list[str]:
        rest = [*self.complement, *([self.adverb] if self.adverb else [])]
        if self.is_question:
            auxiliary = "do" if self.subject.is_plural else "does"
            plain = self.verb[0] if self.subject.is_plural else self.verb[1]
            return ["what", auxiliary, *self.subject.words(), plain, *rest]
        return [*self.subject.words(), self.verb[0], *rest]


Violation = Callable[[_Clause, random.Random], list[str]]


def sentences(count: int, *, corpus: int = 0) -> tuple[list[str], list[str]]:
    """Sentences and their labels, "1" acceptable and "0" not.

    `corpus` numbers independent draws. The sentences of a smaller count are the first of a larger one.
    """
    # a string seeds `Random` through SHA-512, the same for ever; a tuple would go through hash()
    chance = random.Random(f"acceptability {corpus}")
    pairs = [_labelled_sentence(chance) for _ in range(count)]
    return [text for text, _ in pairs], [label for _, label in pairs]


def documents(count: int, *, corpus: int = 0) -> list[list[str]]:
    """Acceptable sentences, `count` in all, in documents of up to five that are about the same noun.

    `corpus` numbers independent draws, which are none of those of `sentences`.
    """
    chance = random.Random(f"acceptable documents {corpus}")
    finished: list[list[str]] = []
    begun: dict[str, list[str]] = {}
    for _ in range(count):
        clause = _clause(chance)
        document = begun.setdefault(clause.subject.noun, [])
        document.append(_written(clause.words()))
        if len(document) == _DOCUMENT_SENTENCES:
            finished.append(begun.pop(clause.subject.noun))
    return [*finished, *begun.values()]


def _labelled_sentence(chance: random.Random) -> tuple[str, str]:
    clause = _clause(chance)
    if chance.random() < ACCEPTABLE_SHARE:
        return _written(clause.words()), "1"
    violation = chance.choice(_possible_violations(clause))
    return _written(violation(clause, chance)), "0"


def _clause(chance: random.Random) -> _Clause:
    subject = _noun(chance, of_people=chance.random() < 0.75)
    adverb = chance.choice(_ADVERBS) if chance.random() < 0.3 else ""
    kind = chance.random()
    if kind < 0.3:
        return _Clause(subject, _agreeing(_INTRANSITIVE, subject, chance), [], adverb)
    if kind < 0.65:
        complement = _noun(chance, of_people=chance.random() < 0.5).words()
        return _Clause(subject, _agreeing(_TRANSITIVE, subject, chance), complement, adverb)
    if kind < 0.85 and subject.reflexive:
        return _Clause(subject, _agreeing(_REFLEXIVE, subject, chance), [subject.reflexive], adverb)
    return _Clause(subject, _agreeing(_TRANSITIVE, subject, chance), [], adverb, is_question=True)


def _noun(chance: random.Random, *, of_people: bool) -> _Noun:
    is_plural = chance.random() < 0.5
    determiner = chance.choice(_DETERMINERS)[is_plural]
    adjective = chance.choice(_ADJECTIVES) if chance.random() < 0.3 else ""
    modifier: tuple[str, ...] = ()
    if chance.random() < 0.25:
        # the noun inside the modifier is the attractor that makes agreement hard
        modifier = (chance.choice(_PREPOSITIONS), "the", chance.choice(_THINGS)[chance.random() < 0.5])
    if of_people:
        singular, plural, reflexive = chance.choice(_PEOPLE)
        noun, reflexive = (plural, "themselves") if is_plural else (singular, reflexive)
    else:
        noun, reflexive = chance.choice(_THINGS)[is_plural], ""
    return _Noun(determiner, adjective, noun, modifier, is_plural, reflexive)


def _agreeing(verbs: tuple[tuple[str, str], ...], subject: _Noun, chance: random.Random) -> tuple[str, str]:
    singular, plural = chance.choice(verbs)
    return (plural, singular) if subject.is_plural else (singular, plural)


def _possible_violations(clause: _Clause) -> list[Violation]:
    possible: list[Violation] = [_swapped_words, _dropped_verb]
    if not clause.is_question:
        possible.append(_wrong_agreement)
    if clause.subject.determiner in _MISMATCHED:
        possible.append(_wrong_determiner)
    if clause.complement == [clause.subject.reflexive]:
        possible.append(_wrong_reflexive)
    return possible


def _wrong_agreement(clause: _Clause, chance: random.Random) -> list[str]:
    return replace(clause, verb=(clause.verb[1], clause.verb[0])).words()


def _wrong_determiner(clause: _Clause, chance: random.Random) -> list[str]:
    subject = replace(clause.subject, determiner=_MISMATCHED[clause.subject.determiner])
    return replace(clause, subject=subject).words()


def _wrong_reflexive(clause: _Clause, chance: random.Random) -> list[str]:
    others = sorted({"himself", "herself", "themselves"} - {clause.subject.reflexive})
    return replace(clause, complement=[chance.choice(others)]).words()


def _swapped_words(clause: _Clause, chance: random.Random) -> list[str]:
    """The determiner behind its noun: no sentence of the grammar has one there."""
    determiner, *rest = clause.subject.words()
    behind = rest.index(clause.subject.noun) + 1
    scrambled = [*rest[:behind], determiner, *rest[behind:]]
    words = clause.words()
    start = 2 if clause.is_question else 0
    return [*words[:start], *scrambled, *words[start + len(scrambled) :]]


def _dropped_verb(clause: _Clause, chance: random.Random) -> list[str]:
    words = clause.words()
    position = (2 if clause.is_question else 0) + len(clause.subject.words())
    return [*words[:position], *words[position + 1 :]]


def _written(words: list[str]) -> str:
    return " ".join(words) + (" ?" if words[0] == "what" else " .")
