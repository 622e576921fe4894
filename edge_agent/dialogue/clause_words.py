"""The words that tell where a sentence may be cut, and where it only looks as if it might."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPENERS = _words(
    """
    yes yeah yep no nope sure okay ok well right alright hello hi hey great certainly absolutely definitely exactly
    indeed thanks sorry actually hmm oh ah wow perfect good fine first second third finally however welcome goodbye
    ja nein doch sicher natürlich gerne also genau oui non bonjour salut sí si claro bueno bien vale hola sim não
    certo ciao nee hej tak да нет конечно привет はい いいえ ええ 好 好的 是的 不 你好 नमस्ते हाँ नहीं نعم لا مرحبا
    """
)
"""Words that people say alone before a pause: one of these and a comma is a first clause."""

AMBIGUOUS_OPENERS = _words("no well hmm oh first second third")
"""Openers after which a full stop may still become "No. 5" or "Well..."."""

TITLES = _words(
    """
    mr mrs ms dr prof mt gen sen rep gov capt lt sgt rev hon pres supt messrs vs approx dept cf ca eg ie viz
    jan feb apr aug sept oct nov dec tue tues thu thur thurs fri tel ext avg e.g i.e
    z.b d.h u.a s.o bzw ggf evtl inkl ca str mme mlle sra srta dra ud uds av
    """
)
"""Abbreviations that never end a sentence: a word always follows."""

NUMBERED = _words("no nos nr num art fig figs eq vol pp p sec ch ver v pt")
"""Words which are abbreviations before a figure ("No. 5") and words or letters otherwise ("No. I did not.")."""

MAYBE_LAST = _words("st etc inc ltd co corp jr sr bros ave blvd rd ln col misc al min max hrs lbs oz ft")
"""Abbreviations that end a sentence as often as not; what follows decides."""

STARTERS = _words(
    """
    the a an it he she we they i i'm i'll it's that's there's you your this that these those there here his her its our
    their my but and so or if when while what who where why how in on at for as after before by to then however
    although because yes no please let would do does did is are was can could now also one some many most all each
    """
)
"""Words that begin an English sentence; after an ambiguous full stop, one of these with a capital ends it."""

CLAUSE_OPENERS = _words(
    "but because which who whom whose when where while whereas if although though unless until since whenever wherever"
)
"""A new clause begins here: the words before it stand alone."""

COORDINATORS = _words("and or so yet nor")
"""They join clauses ("and it rained") as well as nouns ("salt and pepper"); the next word decides."""

SUBJECTS = _words("i you he she it we they there this that these those the a an then i'm you're it's he's she's we're")
"""After a coordinator, one of these opens a clause."""

PREPOSITIONS = _words(
    "in on at for with from by during after before through between around across over under into within without near"
)
"""They open a phrase that may be said after a short breath. Never "of" and "to", which hold a phrase together."""

RIGHT_BINDING = PREPOSITIONS | _words(
    """
    a an the this that these those my your his her its our their some any no every each all both either neither one
    two three four five six seven eight nine ten many most several few other another such what which whose
    of to as than like about and or but nor so if because when while is are was were be been being am do does did
    have has had will would shall should can could may might must not never very more less too quite really just also
    only even i we they he she you it's i'm there based depends depending due according known used located interested
    made look looking wait waiting think thank thanks kind out up off down away because mr mrs ms dr new per
    """
)
"""Words that lean on the next one: no cut after them."""

DOMAIN_HINTS = _words(
    """
    visit at see via www http https website site page web url link address domain email mail file online browser
    package module command install import open run called named go check download search use using try on to with
    """
)
"""Where one of these was said, "example." may become "example.com": the next character is awaited."""

DOMAIN_STEMS = _words(
    """
    google example github gitlab amazon wikipedia youtube facebook twitter reddit apple microsoft netflix openai node
    react next main index readme config setup package docs blog mail shop news asp socket booking
    """
)
"""Words that are the first half of a domain or file name more often than the last word of a sentence."""

ELLIPSIS_WORDS = _words("well think wonder maybe perhaps guess suppose remember umm however")
"""Words after which a stop is likely the first of three."""
