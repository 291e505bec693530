"""Finding texts: what a query means, where it is found, which texts are the best."""

from __future__ import annotations

import random
import re
import time
import unicodedata
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatmem.dropin import ranking
from chatmem.search import Best, Found, Query
from chatmem.search import text as folding
from chatmem.search.text import fold
from tests import samples

Change = Callable[[str], str]

# what makes matching hard: letters that grow or meet when folded, marks, joiners, jamo, wide ones, no-space scripts
TRICKY = [*"aAiIıİßẞſΣςKÅéﬁ½…x_1", *"e\u0301\u0323\u0307\u200d\u00ad\ufe0f´", *"東京か\u3099がｶﾞｷ㌔ー、　ทที่น้ำ"]
TRICKY += [*"नि्ीیم\u0651שׁ", *"ᄒ\u1161\u11ab한ㅎㅏ", *"ABＣ", *" \n.,-'’\"“”", "\ud800", "😀"]
tricky = st.text(st.sampled_from(TRICKY), max_size=20)
FORMS: dict[str, Change] = {
    form: lambda text, form=form: unicodedata.normalize(form, text)  # type: ignore[misc]
    for form in ("NFC", "NFD", "NFKC", "NFKD")
}
CASES: dict[str, Change] = {case.__name__: case for case in (str.upper, str.lower, str.swapcase, str.casefold)}


def found(query: str, text: str) -> list[str]:
    """What of a text a query finds."""
    match = Query(query).match(text)
    return [] if match is None else [text[start:end] for start, end in match.spans]


def score(query: str, text: str) -> float:
    match = Query(query).match(text)
    return 0 if match is None else match.score


def query_of(text: str) -> Query | None:
    """A query, or None where the text holds no word."""
    try:
        return Query(text)
    except ValueError:
        return None


def match_of(query: Query | None, text: str) -> Found | None:
    return None if query is None else query.match(text)


class TestWords:
    @pytest.mark.parametrize(
        ("query", "text", "expected"),
        [
            ("art", "Art for art's sake, ART!", ["Art", "art", "ART"]),
            ("art", "a party, an artist, smart, art_1, 1art", []),
            ("hat001", "Flight HAT001.", ["HAT001"]),
            ("user_id", "the user_id, not user or id", ["user_id"]),
            ("economy refund", "A refund? Not in economy.", ["refund", "economy"]),
            ("(a+)+$ .* [ \\b", "b a a+", ["b", "a", "a"]),
        ],
    )
    def test_whole_words_in_any_case(self, query: str, text: str, expected: list[str]) -> None:
        """Words are found as wholes, in upper and lower case; nothing in a query is a pattern."""
        assert found(query, text) == expected

    @pytest.mark.parametrize(
        ("query", "text", "expected"),
        [
            ("straße", "STRASSE und Straße", ["STRASSE", "Straße"]),
            ("été", "L’e\u0301te\u0301… l’ÉTÉ", ["e\u0301te\u0301", "ÉTÉ"]),
            ("abc12", "ＡＢＣ１２", ["ＡＢＣ１２"]),
            ("ΟΔΟΣ", "οδος", ["οδος"]),
            ("ışık", "IŞIK", ["IŞIK"]),
            ("istanbul", "İSTANBUL", ["İSTANBUL"]),
            ("í", "İ\u0301", ["İ\u0301"]),
            ("é", "…e\u00ad\u0301", ["e\u00ad\u0301"]),
            ("ㅠㅠ", "하하 ㅠㅠ…", ["ㅠㅠ"]),
            ("cooperate", "co\u00adope\u200drate", ["co\u00adope\u200drate"]),
            ("one", "´one´ ❤\ufe0fone \u0301one", ["one"] * 3),
        ],
    )
    def test_the_same_in_unicode(self, query: str, text: str, expected: list[str]) -> None:
        """Case, composition and width make no difference, and offsets are those of the text as it was given."""
        assert found(query, text) == expected

    @pytest.mark.parametrize(
        ("query", "text", "expected"),
        [
            ("हिन्दी", "यह हिन्दी है", ["हिन्दी"]),
            ("हिन", "यह हिन्दी है", []),
            ("क", "कि का क", ["क"]),
            ("محمد", "مُحَمَّد محمد", ["محمد"]),
            ("שלום", "שָׁלוֹם שלום", ["שלום"]),
        ],
    )
    def test_marks_belong_to_their_word(self, query: str, text: str, expected: list[str]) -> None:
        """A word with other marks is another word, and no mark ends one."""
        assert found(query, text) == expected

    @pytest.mark.parametrize(
        ("query", "text", "expected"),
        [
            ("東京", "今日は東京都、東京。", ["東京", "東京"]),
            ("東京", "関東、京都。東 京", []),
            ("キロ", "５ｷﾛと５㌔", ["ｷﾛ", "㌔"]),
            ("ひと", "このひとは", ["ひと"]),
            ("〇", "二〇〇〇年", ["〇"] * 3),
            ("か", "が か\u3099", []),
            ("อากาศ", "วันนี้อากาศดี", ["อากาศ"]),
            ("น้ำ", "ดื่มน้ำใจ", ["น้ำ"]),
            ("ที", "ที่ ที", ["ที"]),
            ("ພາສາ", "ຮຽນພາສາລາວ", ["ພາສາ"]),
            ("ខ្មែរ", "ភាសាខ្មែរនិង", ["ខ្មែរ"]),
            ("မြန်မာ", "ဒါမြန်မာစာ", ["မြန်မာ"]),
            ("iPhone手机", "买IPHONE 手机", ["IPHONE 手机"]),
            ("手机", "iPhone手机壳", ["手机"]),
            ("phone", "iPhone手机 phone手机", ["phone"]),
        ],
    )
    def test_scripts_without_spaces(self, query: str, text: str, expected: list[str]) -> None:
        """Where no spaces separate words, a word is found inside of others, but not across what separates."""
        assert found(query, text) == expected


class TestPhrases:
    @pytest.mark.parametrize(
        ("query", "text", "expected"),
        [
            ('"new york"', "New York, new\n  – york; New Jersey, York", ["New York", "new\n  – york"]),
            ("“new york” bus", "a bus in New York", ["bus", "New York"]),
            ("„new york“ bus", "new bus, york", ["bus"]),
            ('bus "new york', "new york. new bus", ["new york", "bus"]),
            ('"new york"bus"', "bus in york", ["bus"]),
            ("a@b.com", "mail a@b.com, not a or b.com", ["a@b.com"]),
            ("don't", "I don’t, he can't", ["don’t"]),
            ('"東京 大阪"', "東京、大阪。東京大阪", ["東京、大阪"]),
            ('"a a"', "a a, a b a", ["a a, a"]),
            ('"a b a"', "a b a b a", ["a b a b a"]),
            ('"a b" b', "a b b", ["a b", "b"]),
        ],
    )
    def test_words_in_a_row(self, query: str, text: str, expected: list[str]) -> None:
        """The words of a phrase follow each other, whatever stands between them."""
        assert found(query, text) == expected

    def test_distinct_terms(self) -> None:
        """Saying a term twice, in whatever case, changes nothing."""
        assert score("a A ａ \"b c\" 'B C' “B-C”", "a b c") == score('a "b c" b c', "a b c")


@pytest.mark.parametrize(
    "wrong", ["", "  ", "?!", '""', "“ ”", "\ud800", "\u0301", "😀", None, 5, b"refund", ["refund"]]
)
def test_no_query(wrong: Any) -> None:
    """What holds no word is refused, with an example of what is not."""
    with pytest.raises(ValueError, match=r"^query must be .* such as: refund"):
        Query(wrong)


class TestScore:
    def test_more_terms_first(self) -> None:
        """Two terms in a long text are better than one many times."""
        assert score("refund economy", "refund economy" + " word" * 10_000) > score("refund economy", "refund " * 50)
        assert int(score('a b "a b" c', "b a b")) == 3

    def test_phrases_before_words(self) -> None:
        """Of as many terms, phrases are better than words, however often those occur."""
        assert score('"new york" bus', "New York" + " word" * 10_000) > score('"new york" bus', "bus " * 50)

    def test_more_often_and_shorter(self) -> None:
        """Of as many terms, more occurrences are better, and so are shorter texts."""
        assert score("bus", "bus car bus bus") > score("bus", "bus car bus car") > score("bus", "bus car car car")
        assert score("bus", "a bus") > score("bus", "a bus" + " or a car" * 20)

    def test_a_few_occurrences_are_enough(self) -> None:
        """Each further occurrence counts for less."""
        one, two, three = (score("bus", ("bus " * n).ljust(100, ".")) for n in (1, 2, 3))
        assert two - one > three - two


class TestAgainstPlain:
    """The same as the plainest way to look gives."""

    @staticmethod
    def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Join spans that overlap, by marking what they cover; two that only touch stay two."""
        joined: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if joined and start < joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    @given(
        st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), min_size=1, max_size=6),
        st.lists(st.sampled_from("abcd"), max_size=30),
        st.booleans(),
    )
    @example([["a", "b", "a", "c"], ["b", "a", "b"], ["a"]], [*"abababac"], False)
    def test_phrases(self, phrases: list[list[str]], text: list[str], padded: bool) -> None:
        """Overlapping and nested phrases are all found; it makes no difference whether a query is small or large."""
        terms = {tuple(phrase) for phrase in phrases}
        size = {term: len(term) for term in terms}
        hits = [(i, term) for term in terms for i in range(len(text)) if tuple(text[i : i + size[term]]) == term]
        query = " ".join(f'"{" ".join(term)}"' for term in terms)
        match = Query(query + " w".join(map(str, range(200 * padded)))).match(" ".join(text))
        assert (match is None) == (not hits)
        if match is not None:
            assert int(match.score) == len({term for _, term in hits})
            assert list(match.spans) == self.merged([(2 * i, 2 * (i + size[term]) - 1) for i, term in hits])

    @given(
        st.text("東京都", min_size=1, max_size=3),
        st.text(["東", "京", "都", "。", " ", "a", "ｶ", "…"], max_size=30),
    )
    def test_scripts_without_spaces(self, query: str, text: str) -> None:
        """Such a word is found wherever its characters stand."""
        hits = [(i, i + len(query)) for i in range(len(text)) if text.startswith(query, i)]
        match = Query(query).match(text)
        assert (list(match.spans) if match else []) == self.merged(hits)

    @given(
        st.sampled_from(["straße", "é", "ﬁx", "i", "x", "한"]),
        st.lists(
            st.tuples(
                st.sampled_from(["STRASSE", "straße", "e\u0301", "É", "FIX", "ﬁX", "İ", "I", "x", "ẍ", "xx", "한"]),
                st.sampled_from([" ", "…", " ½ ", " \u00ad", " \u0301", "、", "\ud800", "㌔"]),
            ),
            max_size=8,
        ),
    )
    def test_offsets(self, query: str, pieces: list[tuple[str, str]]) -> None:
        """Offsets hold whatever grew or shrank before them."""
        expected, position = [], 0
        for word, separator in pieces:
            if fold(word) == fold(query):
                expected.append((position, position + len(word)))
            position += len(word) + len(separator)
        match = Query(query).match("".join(word + separator for word, separator in pieces))
        assert (list(match.spans) if match else []) == expected


class TestAlways:
    """What holds for any text."""

    @given(tricky, tricky, tricky)
    @example("", "が", "か\u3099か")
    @example("\u0301İ\u00ad", "i\u0307", "")
    def test_a_span_is_a_term(self, before: str, query: str, after: str) -> None:
        """Each span is all of what the query finds in it, and overlaps no other."""
        text = before + query + after
        match, last = match_of(query_of(query), text), 0
        for start, end in match.spans if match else ():
            assert last <= start < end <= len(text)
            assert found(query, text[start:end]) == [text[start:end]]
            last = end

    @given(tricky, tricky, tricky)
    def test_forms(self, before: str, query: str, after: str) -> None:
        """No normal form of query or text makes a difference."""
        self.unchanged(query, before + query + after, FORMS)

    @given(tricky, tricky, tricky)
    def test_cases(self, before: str, query: str, after: str) -> None:
        """No change of case makes one."""
        self.unchanged(query, before + query + after, CASES)

    @staticmethod
    def unchanged(query: str, text: str, changes: dict[str, Change]) -> None:
        original = query_of(query)
        expected = match_of(original, text)
        for name, change in changes.items():
            for wanted, given_text in ((query_of(change(query)), text), (original, change(text))):
                match = match_of(wanted, given_text)
                assert (match and match.score) == (expected and expected.score), name

    @given(tricky, tricky.filter(query_of), tricky)
    def test_what_is_a_term_is_found(self, before: str, query: str, after: str) -> None:
        """Whatever is looked for is found between spaces, whatever else is there."""
        match = Query(f'"{query}"').match(f"{before} {query} {after}")
        assert match is not None
        assert any(start <= len(before) + len(query) and end > len(before) + 1 for start, end in match.spans)


def test_every_character_that_folding_changes() -> None:
    """Offsets after it are right, composed or not, and each form of it is found as any other."""
    for char in map(chr, range(0x110000)):
        if (apart := unicodedata.normalize("NFKD", char)) == char:
            continue
        for form in (char, apart, unicodedata.normalize("NFD", char)):
            match = Query("mark").match(text := f"{form} mark")
            assert match is not None
            assert match.spans == ((len(text) - 4, len(text)),), ascii(char)
        if (wanted := query_of(char)) is not None:
            assert wanted.match(apart), ascii(char)


def test_real_conversations() -> None:
    """In the 4,042 real messages, a word is found in those that have it, each time."""
    from chatmem.search import text_of

    texts = [text_of(message) for messages in samples.conversations().values() for message in messages]
    for query in ("flight", "art", "HAT001", "economy"):
        for text in texts:
            assert len(found(query, text)) == ranking.words(text).count(query.casefold())


class TestLarge:
    """What would take hours if anything took time by the product of query and text."""

    def test_ten_thousand_words(self) -> None:
        """A query of 10,000 words, with a text of each and one of none."""
        every = [f"w{i}" for i in range(10_000)]
        assert int(score(" ".join(every), " ".join(reversed(every)))) == 10_000
        assert found(" ".join(every), "x " * 300_000) == []

    def test_long_phrases(self) -> None:
        """A text of nothing but beginnings of a phrase, and phrases inside each other."""
        text = "a " * 300_000
        assert found(f'"{"a " * 10_000} b"', text) == []
        nested = " ".join(f'"{"a " * n}"' for n in range(1, 150))
        match = Query(nested).match(text)
        assert match is not None
        assert (int(match.score), match.spans) == (149, ((0, len(text) - 1),))

    @pytest.mark.parametrize(
        "text",
        [
            "a" * 10_000_000,
            " " * 10_000_000,
            '"' * 10_000_000,
            "a \u0301" * 200_000,
            "か\u3099" * 100_000,
            "´" * 300_000,
        ],
        ids=["a", "spaces", "quotes", "stray marks", "marks", "accents"],
    )
    def test_monotonous(self, text: str) -> None:
        """Long runs of anything."""
        assert found(f"{'a' * 5_000}b x (a+)+$", f"x{text} x")[-1] == "x"
        assert Query('"' * 100_000 + "x").match(f"{text} x")

    def test_lone_surrogates(self) -> None:
        """They separate words, in query and text."""
        assert found("b\ud800 a", "\udfffa\ud83d b\ude00") == ["a", "b"]


class TestInSteps:
    """Long texts are folded, cut and looked through a part at a time, which makes no difference to what is found."""

    @given(tricky.filter(bool), st.integers(0, 20))
    def test_the_words_of_a_long_text(self, unit: str, before: int) -> None:
        """Those that the ranking of the drop-in counts are the same in parts as in the whole."""
        text = "x" * before + unit * (20_000 // len(unit))
        assert [word for part in ranking._parts(text) for word in ranking.words(part)] == ranking.words(text)

    @given(st.lists(tricky, max_size=4), st.integers(200, 700), st.integers(0, 300))
    def test_pieces_fold_as_the_whole(self, parts: list[str], times: int, before: int) -> None:
        """Wherever they are cut, as long as no run of marks is longer than those of any language."""
        text = "x" * before + "".join(parts) * (times // max(sum(map(len, parts)), 1))
        if not re.search(r"[^\w\s]{20}", unicodedata.normalize("NFKD", text)):
            assert fold(text) == folding._folded(text)

    @given(
        tricky.filter(query_of), st.text(["a", " ", "\u0301", "東", "が", "İ", "\u00ad", "．"], min_size=1, max_size=5)
    )
    @settings(max_examples=15)
    def test_a_term_is_found_wherever_it_is(self, query: str, filler: str) -> None:
        """Around the ends of pieces, of steps, and of regions."""
        wanted, word = Query(f'"{query}"'), query.strip()
        for size in (256, 8192):
            for offset in (-2, -1, 0, 1):
                before = (filler * size)[: size + offset] + " "
                match = wanted.match(f"{before}{word} {filler}")
                alone = wanted.match(f" {word} ")
                assert match is not None
                assert alone is not None
                shifted = [(start + len(before) - 1, end + len(before) - 1) for start, end in alone.spans]
                assert set(shifted) <= {*match.spans} or any(start < len(before) < end for start, end in match.spans)

    @pytest.mark.parametrize(
        "unit",
        [
            *("\u0315\u0300", "a\u0315\u0300", "\u00ad\u0315\u200d\u0300", "\uff9e\u0301", "\u0344\u0f71", "\u1161"),
            *(
                "\u1100\u1161\u11a8",
                "\u0307",
                "İ",
                "\ufdfa",
                "´",
                "東\u0301",
                "a \u0301",
                "क्षि",
                "refund ",
                "東京",
                "a",
            ),
        ],
    )
    def test_time_grows_with_the_length(self, unit: str) -> None:
        """Eight times as long a text takes about eight times as long, whatever it is made of."""
        query = Query("refund é 東")
        times = []
        for size in (16_000, 128_000):
            text = "refund " + unit * (size // len(unit))
            query.match(text)
            start = time.thread_time()
            query.match(text)
            times.append(time.thread_time() - start)
        assert times[1] < 32 * max(times[0], 0.001)

    async def test_others_run_in_between(self) -> None:
        """There is a rest for each few thousand characters, in each of the stages, and none in short texts."""
        rests = 0

        async def rest() -> None:
            nonlocal rests
            rests += 1

        for unit, least in (("refund ", 30), ("é\u0315 refund ", 50), ("\u0315\u0300", 15), ("東京", 30)):
            rests = 0
            query = Query("refund 東 é\u0315")
            text = unit * (200_000 // len(unit))
            assert await query.match_with_checkpoints(text, rest) == query.match(text)
            assert rests >= least
        rests = 0
        assert await query.match_with_checkpoints("a refund", rest) == query.match("a refund")
        assert rests == 0


class TestBest:
    offers = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 1.5]), st.integers(0, 3), st.integers()), max_size=30)

    @given(offers, st.integers(1, 40))
    def test_as_sorted(self, offers: list[tuple[float, int, int]], limit: int) -> None:
        """It keeps what sorting all would have begun with: by score, then the newest, then as offered."""
        best = Best[int](limit)
        for score_, order, item in offers:
            best.offer(score_, order, item)
        assert best.ranked() == [offer[2] for offer in sorted(offers, key=lambda o: o[:2], reverse=True)[:limit]]

    def test_takes_what_is_better(self) -> None:
        """An item is kept if it is better, or as good and newer."""
        kept = []
        for score_, order in ((0.5, (9,)), (1.0, (1,)), (1.0, (1, 0)), (1.5, (0,))):
            best = Best[str](1)
            best.offer(1.0, (1,), "old")
            best.offer(score_, order, "new")
            kept += best.ranked()
        assert kept == ["old", "old", "new", "new"]

    def test_bounded(self) -> None:
        """It never holds more than the limit; items need not be comparable."""

        class Thing:
            pass

        best, alive = Best[Thing](3), weakref.WeakSet[Thing]()
        scores = random.Random(1)
        for order in range(50):
            alive.add(thing := Thing())
            best.offer(scores.random(), order, thing)
            del thing
            assert len(alive) == min(order + 1, 3)

    @pytest.mark.parametrize("wrong", [0, -1, True, 1.0, "1", None])
    def test_limit(self, wrong: Any) -> None:
        """The limit is a whole number from 1 on."""
        with pytest.raises(ValueError, match=r"^limit must be a whole number from 1 on"):
            Best[str](wrong)
