# SPDX-License-Identifier: Apache-2.0
"""The few common words that every generated task is written with.

The list is short on purpose: a tokenizer of about 1000 pieces can give most of
these words a piece of their own, and a model of a few million parameters can
learn them all in minutes. No word is in two lists, so its category is a fact.
"""

ANIMALS = tuple(
  (
    "ant bear bee bird cat cow crab deer dog duck fox frog goat hen horse lion"
    " mouse owl pig rabbit sheep snake tiger whale wolf zebra"
  ).split()
)
COLORS = tuple(
  "black blue brown gray green pink purple red white yellow".split()
)
FOODS = tuple(
  (
    "apple bread butter cake carrot cheese corn egg grape honey jam lemon milk"
    " onion pasta pear potato rice salad soup sugar tea"
  ).split()
)
PLACES = tuple(
  (
    "airport beach castle city desert farm forest garden hotel island lake"
    " market museum park river school station town valley village"
  ).split()
)
VEHICLES = tuple("bike boat bus car plane ship taxi train truck van".split())

# What a category is called: one of it (with its article), and several.
CATEGORIES = {
  "animal": ANIMALS,
  "color": COLORS,
  "food": FOODS,
  "place": PLACES,
  "vehicle": VEHICLES,
}

# All take a plain "s" in the plural. They belong to no category above.
THINGS = tuple(
  (
    "ball bed bell book bottle chair clock coat coin cup desk door hat key"
    " lamp letter map mirror ring table"
  ).split()
)
ADJECTIVES = tuple(
  (
    "big brave bright clean cold dark fast happy loud new old quiet sad slow"
    " small soft strong tall warm young"
  ).split()
)
# All take an object, and a plain "s" in the third person.
VERBS = tuple(
  "draw find follow hear help keep know like love need paint see want".split()
)
# One name for most letters of the alphabet, so a sentence can start with it.
NAMES = tuple(
  (
    "Anna Ben Cora Dan Emma Finn Gus Hana Ivan Jack Kim Lena Max Nora Omar"
    " Paul Rosa Sam Tim Uma Vera Will Zoe"
  ).split()
)

NOUNS = ANIMALS + FOODS + PLACES + VEHICLES + THINGS
# The words that lists to copy, sort, count ... are drawn from.
LIST_WORDS = NOUNS + COLORS + ADJECTIVES
