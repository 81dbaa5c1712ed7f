"""Near words: what people write, by the word of the grammar that comes nearest.

Kept with the grammars, and written into a model's ``grammar.json`` as far as its own words go. A
word is near where the picture of the other would not surprise whoever wrote it; where two words of
the grammar come as near, as for "beside", there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Word of a grammar, or phrase, to what is near it, by commas.
NEAR = {
    "shiny": "glossy, polished, glittering, gleaming, metallic, metal, chrome, glass, mirror-like",
    "matte": "matt, dull, flat, rough, rubber, clay, stone, wooden, plastic",
    "red": "crimson, scarlet, ruby, cherry, vermilion, maroon, burgundy",
    "orange": "amber, tangerine, apricot, copper",
    "yellow": "golden, gold, lemon, blonde",
    "green": "emerald, lime, olive, jade, mint",
    "blue": "navy, azure, sapphire, cobalt, cyan, turquoise, indigo",
    "purple": "violet, lilac, mauve, plum, lavender",
    "pink": "rose, salmon, fuchsia, magenta",
    "white": "ivory, snow-white, silver, cream",
    "sphere": "ball, globe, orb, balloon, bubble, planet",
    "cube": "box, block, crate, brick",
    "cylinder": "pillar, column, tube, barrel, drum, log",
    "cone": "pyramid, party hat, traffic cone",
    "ring": "donut, doughnut, torus, hoop, bagel, tyre, tire, bracelet, wheel",
    "grass": "meadow, lawn, field, pasture, turf",
    "sand": "beach, desert, dune, shore",
    "snow": "ice, frost",
    "water": "lake, sea, ocean, pond, river, puddle, pool",
    "daylight": "day, daytime, noon, midday, morning, sunlight, sunshine, sun",
    "sunset": "dusk, evening, twilight, sundown, dawn, sunrise, golden hour",
    "night": "midnight, nighttime, moonlight, starlight, darkness",
    "at night": "in the dark",
    "on top of": "atop, above, upon, standing on, sitting on",
    "left of": "to the left of, on the left of",
    "right of": "to the right of, on the right of",
    "slides": "slide, sliding, glides, gliding, moves, moving, drifts",
    "rolls": "roll, rolling",
    "bounces": "bounce, bouncing, hops, hopping, jumps, jumping",
    "orbits": "orbit, orbiting, circles, circling, goes round",
    "counterclockwise": "anticlockwise, counter-clockwise, anti-clockwise",
    "to the left": "leftward, leftwards",
    "to the right": "rightward, rightwards",
}


def near_words(phrases: Iterable[str]) -> dict[str, list[str]]:
    """Return the near words of whatever a grammar's captions may say, as plain data.

    Parameters
    ----------
    phrases : iterable of str
        Of the grammar: words, or some in a row.
    """
    known = list(phrases)
    words = {word for phrase in known for word in phrase.split()} | set(known)
    return {word: near.split(", ") for word, near in NEAR.items() if word in words}
