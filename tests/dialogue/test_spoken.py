"""What is sent to the voice for what was written, and which written characters each word stands for."""

# ruff: noqa: RUF001  (typographic marks are what it is about)

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.dialogue.spoken import SpokenWord, spoken, spoken_words
from edge_agent.dialogue.spoken_numbers import cardinal, number, ordinal, year

ENGLISH = [
    # Numbers
    ("The answer is 42.", "The answer is forty-two."),
    ("0 or 100 or 101", "zero or one hundred or one hundred one"),
    (
        "There are 1,234,567 people.",
        "There are one million two hundred thirty-four thousand five hundred sixty-seven people.",
    ),
    ("Pi is 3.14.", "Pi is three point one four."),
    ("half is 0.5 or .5", "half is zero point five or point five"),
    ("It was -5 degrees.", "It was minus five degrees."),
    ("Agent 007", "Agent zero zero seven"),
    ("5.5 million people", "five point five million people"),
    ("12345678901", "one two three four five six seven eight nine zero one"),
    ("the 1st, 2nd, 3rd and 4th", "the first, second, third and fourth"),
    ("the 21st century", "the twenty-first century"),
    ("the 112th or 1,000th", "the one hundred twelfth or one thousandth"),
    ("1/2 cup and 3/4 cup", "one half cup and three quarters cup"),
    ("2/3 of 5/8", "two thirds of five eighths"),
    ("2 1/2 cups, 1½ cups, ¾ cup", "two and a half cups, one and a half cups, three quarters cup"),
    ("22/7 is 7 out of 10 or 7/10", "twenty-two over seven is seven out of ten or seven out of ten"),
    ("24/7 and 50/50", "twenty-four seven and fifty fifty"),
    ("5% or 3.5%", "five percent or three point five percent"),
    ("50 % of 5–10%", "fifty percent of five to ten percent"),
    ("Read pages 5-10.", "Read pages five to ten."),
    ("9-5", "nine to five"),
    ("3:1 odds", "three to one odds"),
    ("a 16:9 screen", "a sixteen to nine screen"),
    ("about ~5 people", "about about five people"),
    ("#5 and No. 5 and Nos. 5", "number five and Number five and Numbers five"),
    ("1350 students and 1500 people", "one thousand three hundred fifty students and one thousand five hundred people"),
    ("COVID-19, GPT-4, MP3, 4K, H2O", "COVID-nineteen, GPT-four, MP3, 4K, H2O"),
    # Years
    ("It was founded in 1969.", "It was founded in nineteen sixty-nine."),
    (
        "In 2024, in 2005, in 1900, in 2000",
        "In twenty twenty-four, in two thousand five, in nineteen hundred, in two thousand",
    ),
    ("in 1805 and in 1066", "in eighteen oh five and in ten sixty-six"),
    ("the 1800s", "the eighteen hundreds"),
    ("the 1960s and the 2010s", "the nineteen sixties and the twenty tens"),
    ("the '90s, the 80s, the mid-1990s", "the nineties, the eighties, the mid-nineteen nineties"),
    ("1939-1945", "nineteen thirty-nine to nineteen forty-five"),
    ("1939–45 and 2020-21", "nineteen thirty-nine to forty-five and twenty twenty to twenty-one"),
    ("the class of '69", "the class of sixty-nine"),
    ("500 BC and AD 79", "five hundred BC and A.D seventy-nine"),  # "AD" is read as a word, "A.D" is spelled
    # Roman numerals
    ("Henry VIII and Louis XIV", "Henry the eighth and Louis the fourteenth"),
    ("World War II and World War I", "World War two and World War one"),
    ("Elizabeth I was queen.", "Elizabeth the first was queen."),
    ("James I think so.", "James I think so."),
    ("Chapter IV of Super Bowl LVII", "Chapter four of Super Bowl fifty-seven"),
    ("It was Charles V. Then it ended.", "It was Charles the fifth. Then it ended."),
    ("I, VI and X", "I, VI and X"),
    # Dates
    ("On 2024-03-05 we met.", "On March fifth, twenty twenty-four we met."),
    ("On 3/5/2024 we met.", "On March fifth, twenty twenty-four we met."),
    ("On 25/12/2024 we met.", "On December twenty-fifth, twenty twenty-four we met."),
    ("On 05.03.2024 we met.", "On March fifth, twenty twenty-four we met."),
    ("On March 5, 2024, we met.", "On March fifth, twenty twenty-four, we met."),
    ("On March 5 we met.", "On March fifth we met."),
    ("On 5 March 2024 we met.", "On the fifth of March, twenty twenty-four we met."),
    ("the 3rd of May", "the third of May"),
    ("July 4th and Dec. 25", "July fourth and December twenty-fifth"),
    ("March 5-7 and March 2024", "March fifth to seventh and March twenty twenty-four"),
    ("in Jan. or Feb. 2020", "in January or February twenty twenty"),
    ("13/45/2024", "thirteen forty-five two thousand twenty-four"),
    ("I may 5", "I may five"),
    # Times
    ("at 7:30", "at seven thirty"),
    ("at 7:05", "at seven oh five"),
    ("at 7:30 pm and 9:05 a.m.", "at seven thirty PM and nine oh five AM."),
    ("at 19:05 or 19:00", "at nineteen oh five or nineteen hundred"),
    ("at 12:00 or 00:00", "at twelve o'clock or midnight"),
    ("7 p.m. on Monday", "seven PM on Monday"),
    ("At 5 p.m. We went.", "At five PM. We went."),
    ("9am-5pm and 7:30-8:30 pm", "nine AM to five PM and seven thirty to eight thirty PM"),
    ("It's 10:30AM.", "It's ten thirty AM."),
    ("12:30:15", "twelve thirty and fifteen seconds"),
    ("2024-03-05T14:30:00Z", "March fifth, twenty twenty-four at fourteen thirty UTC"),
    ("5 o'clock in the a.m.", "five o'clock in the AM."),
    # Money
    ("It costs $3.50 today.", "It costs three dollars and fifty cents today."),
    ("$5, $1, $0.99", "five dollars, one dollar, ninety-nine cents"),
    ("€20 and 20€ and EUR 20", "twenty euros and twenty euros and twenty euros"),
    ("£1.2 million", "one point two million pounds"),
    ("£3.05 and £1.01", "three pounds and five pence and one pound and one penny"),
    ("¥500", "five hundred yen"),
    ("$1,000.00", "one thousand dollars"),
    ("$1.5B and $300K", "one point five billion dollars and three hundred thousand dollars"),
    ("$5/month", "five dollars per month"),
    ("$5-10 or $10-$20", "five to ten dollars or ten to twenty dollars"),
    ("a $5 bill", "a five dollar bill"),
    ("a $20 million fund", "a twenty million dollar fund"),
    ("-$5, US$5, 5 USD", "minus five dollars, five US dollars, five US dollars"),
    ("5¢", "five cents"),
    # Units
    ("5 km, 5kg and 1 km", "five kilometers, five kilograms and one kilometer"),
    ("20 °C or 68°F", "twenty degrees Celsius or sixty-eight degrees Fahrenheit"),
    ("-5 °C", "minus five degrees Celsius"),
    ("a 45° angle", "a forty-five degree angle"),
    ("70 mph or 100 km/h", "seventy miles per hour or one hundred kilometers per hour"),
    ("50 m² and 3 m³", "fifty square meters and three cubic meters"),
    ("16 GB at 3 GHz in 20 ms", "sixteen gigabytes at three gigahertz in twenty milliseconds"),
    ("8 MB/s", "eight megabytes per second"),
    ("5'10\" or 5 ft 10 in", "five foot ten or five foot ten"),
    ("6 ft, 1 ft", "six feet, one foot"),
    ("a 5 km run, a 5-km run, a 10-mile run", "a five kilometer run, a five kilometer run, a ten-mile run"),
    ("5-10 km", "five to ten kilometers"),
    ("1.5 L of water, 2 tbsp. of salt", "one point five liters of water, two tablespoons of salt"),
    ("5 min. from here", "five minutes from here"),
    # Telephones and other digits
    ("Call 555-1234.", "Call five five five, one two three four."),
    ("(555) 123-4567", "five five five, one two three, four five six seven"),
    ("+1 555 123 4567", "plus one, five five five, one two three, four five six seven"),
    ("Call 911 now.", "Call nine one one now."),
    ("123-45-6789", "one two three, four five, six seven eight nine"),
    ("1234 5678 9012", "one two three four, five six seven eight, nine zero one two"),
    # Abbreviations
    ("Dr. Smith and Mr. Jones", "Doctor Smith and Mister Jones"),
    ("Mrs. Brown, Ms. Lee and Prof. Ito", "Missus Brown, Miz Lee and Professor Ito"),
    ("on Main St. in St. Louis.", "on Main Street in Saint Louis."),
    ("He lives on Elm Dr. The end.", "He lives on Elm Drive. The end."),
    ("Ask Dr. Who.", "Ask Doctor Who."),
    ("e.g. this, i.e. that", "for example this, that is that"),
    ("apples, etc. And pears", "apples, et cetera. And pears"),
    ("us vs. them", "us versus them"),
    ("approx. 5 in ca. 1850", "approximately five in circa eighteen fifty"),
    ("pp. 5-7, fig. 2", "pages five to seven, figure two"),
    ("U.S. troops from the U.K.", "US troops from the UK."),
    ("They left the U.S. The end.", "They left the US. The end."),
    ("NASA uses USB and HTML.", "NASA uses USB and HTML."),
    ("a Ph.D. student", "a PhD student"),
    ("J. R. R. Tolkien", "J.R.R Tolkien"),
    ("John F. Kennedy", "John F Kennedy"),
    ("I like plan B. Then go.", "I like plan B. Then go."),
    ("Vitamin A is good.", "Vitamin eh is good."),  # a lone "A" is read as the article
    ("I met Max. He ran.", "I met Max. He ran."),
    ("w/ milk, w/o sugar", "with milk, without sugar"),
    ("5th Ave. in New York", "fifth Avenue in New York"),
    # Symbols
    ("salt & pepper", "salt and pepper"),
    ("2 + 2 = 4", "two plus two equals four"),
    ("5 * 3, 3 × 4, 6 ÷ 2, 10 / 2", "five times three, three times four, six divided by two, ten divided by two"),
    ("5 - 3 = 2", "five minus three equals two"),
    ("2^3, x² + y²", "two to the power of three, x squared plus y squared"),
    ("±5", "plus or minus five"),
    ("10 < 20 and 5 >= 3", "ten is less than twenty and five is at least three"),
    ("A → B", "A to B"),
    ("1920x1080, 2x faster", "one thousand nine hundred twenty by one thousand eighty, two times faster"),
    ("and/or, he/she, TCP/IP", "and or, he or she, TCP IP"),
    ("@name and #python", "at name and hashtag python"),
    ("C++, C#, .NET", "C plus plus, C sharp, dot net"),
    ("5 times/day", "five times per day"),
    ("snake_case and item(s)", "snake case and items"),
    # Addresses
    ("Visit example.com.", "Visit example dot com."),
    ("https://www.example.com/path?x=1", "example dot com slash path"),
    ("me@example.com", "me at example dot com"),
    ("john.doe-x@mail.example.org", "john dot doe dash x at mail dot example dot org"),
    ("Open main.py or my_file.txt.", "Open main dot py or my underscore file dot txt."),
    ("node.js in /usr/bin", "node dot js in slash usr slash bin"),
    ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
    ("v2.0, version 2.0.1", "version two point zero, version two point zero point one"),
    # Markdown, emoji, entities
    ("# Heading\n\nSome **bold** and *italic* and `code` text.", "Heading. Some bold and italic and code text."),
    ("**Note:** ***this*** and ~~that~~ and __these__", "Note: this and that and these"),
    ("- apples\n- pears", "apples. pears"),
    ("1. First step\n2. Second step", "one, First step. two, Second step"),
    ("- [ ] do it\n- [x] done", "do it. done"),
    ("> a quotation", "a quotation"),
    ("See [the docs](https://example.com/docs) now.", "See the docs now."),
    ("![a cat](cat.png) [![img](b.png)](c.html)", "a cat img"),
    ("<https://example.com>", "example dot com"),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b. one, two"),
    ("```python\nprint(1)\n```\nDone.", "code block. Done."),
    ("one\n\n---\n\ntwo", "one. two"),
    ("Great! 😀👍🏽 Well done ❤️.", "Great! Well done."),
    ("Fish &amp; chips &#233;", "Fish and chips é"),
    ("a <b>word</b><br>and", "a word and"),
    ("It is so.[1] Yes [^2]", "It is so. Yes"),
    ("fine :) or ;-)", "fine or"),
    ("[[h@loU]] hi", "h at loU hi"),  # double brackets would be raw phonemes to the voice
    # Punctuation
    ("Well... maybe… yes", "Well, maybe, yes"),
    ("Hmm...", "Hmm."),
    ("I think — yes – no - ok—fine", "I think, yes, no, ok, fine"),
    ("I think —", "I think,"),
    ("2 dogs (and 1 bird).", "two dogs, and one bird."),
    ("dogs (and birds) are", "dogs, and birds, are"),
    ("“Hello,” she said: 'Go.'", "Hello, she said: Go."),
    ("don’t, the dogs' tails, rock 'n' roll", "don't, the dogs' tails, rock 'n roll"),
    ("What?! No!!", "What? No!"),
    (".. and so", "and so"),
    ("**", ""),
    ("😀", ""),
    ("...", ""),
    ("", ""),
]

OTHERS = [
    ("de", "Er zahlt **5 €** & 20 % 😀 am 3. Mai z. B. „gut“.", "Er zahlt 5 € & 20 % am 3. Mai z. B. gut."),
    ("de-DE", "# Titel\n\n- eins\n- zwei", "Titel. eins. zwei"),
    ("es", "¿Qué? — *Sí*, 3,5 km [aquí](http://x.es).", "¿Qué? Sí, 3,5 km aquí."),
    ("fr", "C’est «vrai» → 1969…", "C'est vrai 1969."),
    ("zh", "你好，**世界**。今天是2024年。", "你好， 世界。 今天是2024年。"),
    ("ja", "「はい」（いいえ）😀", "はい, いいえ"),
    ("hi", "यह 5% है।", "यह 5% है।"),
]


@pytest.mark.parametrize(("written", "expected"), ENGLISH)
def test_english(written: str, expected: str) -> None:
    assert spoken(written) == expected
    assert spoken(expected) == expected


@pytest.mark.parametrize(("language", "written", "expected"), OTHERS)
def test_other_languages_keep_their_figures(language: str, written: str, expected: str) -> None:
    assert spoken(written, language) == expected


def test_the_words_of_an_amount_all_end_where_the_amount_ends() -> None:
    assert spoken_words("It costs $3.50 today.") == [
        SpokenWord("It", 2),
        SpokenWord("costs", 8),
        SpokenWord("three", 14),
        SpokenWord("dollars", 14),
        SpokenWord("and", 14),
        SpokenWord("fifty", 14),
        SpokenWord("cents", 14),
        SpokenWord("today.", 21),
    ]


@pytest.mark.parametrize(
    ("written", "cuts"),
    [
        ("Hello, you there.", ["Hello,", "Hello, you", "Hello, you there."]),
        ("A **bold word** here", ["A", "A **bold", "A **bold word**", "A **bold word** here"]),
        ("[a link](http://x.y) now", ["[a", "[a link](http://x.y)", "[a link](http://x.y) now"]),
        ('He said "Stop." Fine', ["He", "He said", 'He said "Stop."', 'He said "Stop." Fine']),
        ("apple (red) pear", ["apple", "apple (red)", "apple (red) pear"]),
        ("one — two", ["one", "one — two"]),
        ("- one\n- two", ["- one", "- one\n- two"]),
        ("see Dr. Who 😀 now", ["see", "see Dr.", "see Dr. Who", "see Dr. Who 😀 now"]),
        (" and so", [" and", " and so"]),
        ("Fish &amp; chips", ["Fish", "Fish &amp;", "Fish &amp; chips"]),
    ],
)
def test_history_is_cut_after_the_written_word(written: str, cuts: list[str]) -> None:
    assert [written[: word.end] for word in spoken_words(written)] == cuts


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "zero"), (19, "nineteen"), (80, "eighty"), (1_000_001, "one million one"), (10**12, "one trillion")],
)
def test_cardinal(value: int, words: str) -> None:
    assert cardinal(value) == words


def test_numbers_out_of_range() -> None:
    with pytest.raises(ValueError, match="between"):
        cardinal(10**15)
    with pytest.raises(ValueError, match="between"):
        cardinal(-1)
    assert number("1" * 16).split() == ["one"] * 16


@pytest.mark.parametrize(
    ("value", "words"), [(20, "twentieth"), (12, "twelfth"), (1_000, "one thousandth"), (53, "fifty-third")]
)
def test_ordinal(value: int, words: str) -> None:
    assert ordinal(value) == words


@pytest.mark.parametrize(("value", "words"), [(79, "seventy-nine"), (2000, "two thousand"), (2010, "twenty ten")])
def test_year(value: int, words: str) -> None:
    assert year(value) == words


_FRAGMENTS = st.lists(
    st.one_of(
        st.text(max_size=8),
        st.sampled_from(
            [*"0123456789.,:;/-–—+*=^%$€£°'\"()[]<>|#@&~`_ \n", "[a](", "**", "```", "St.", "Dr. ", "p.m.", "U.S.", "½"]
        ),
        st.sampled_from(
            [" March ", " Henry ", "VIII", " km", "http://", "www.", ".com", "&amp;", "&#0;", "s ", "th ", "x"]
        ),
    ),
    max_size=30,
).map("".join)


@given(_FRAGMENTS, st.sampled_from(["en", "en-GB", "de", "zh", ""]))
def test_any_text_can_be_spoken(text: str, language: str) -> None:
    words = spoken_words(text, language)
    ends = [word.end for word in words]
    assert ends == sorted(ends)
    assert all(0 < end <= len(text) for end in ends)
    said = spoken(text, language)
    assert said == " ".join(word.spoken for word in words)
    assert all(word.spoken and not word.spoken.isspace() for word in words)
    said.encode()
    assert "[[" not in said


@given(st.lists(st.from_regex(r"[a-z]{1,9}", fullmatch=True).filter(lambda word: word not in ("vs", "etc"))))
def test_plain_words_stay(words: list[str]) -> None:
    assert spoken(" ".join(words)) == " ".join(words)


@pytest.mark.parametrize(
    "unit",
    [
        *"0a.,:;/-–+*=^%$€'\"()[]<>|#@&~`_ \nA½I😀",
        *(
            "1,",
            "1.",
            "1-",
            "1/",
            "1:",
            "a.",
            "A. ",
            "[a",
            "](",
            "[a](",
            "<a",
            "&a",
            "a@",
            "**a",
            "1 - ",
            "St. ",
            "Dr. ",
        ),
        *("-\n", "| ", "|-", "* ", "$1-", "1 km ", "a/", "a.com/", "U.S. ", "``` ", "p.m. ", "((", "1x"),
    ],
)
def test_no_text_takes_long(unit: str) -> None:
    text = unit * (10_000 // len(unit))
    start = time.process_time()
    spoken(text)
    spoken(text, "de")
    assert time.process_time() - start < 5
