"""A small grammar of everyday sentences in which negation turns the verdict, or does not: practice for pocket/sentiment."""
import random


def grammar(count: int, rng: random.Random) -> list[tuple[str, float]]:
    """Everyday sentences in which a word of negation turns, or does not turn, the verdict."""
    things = ("the film|the course|the meal|the speech|our hotel|my phone|the teacher|this book|the plan|the debate|"
              "the policy|the concert|the bus line|the report|the website|this town|the new manager|the coffee|"
              "the exhibition|the programme|her lecture|his answer|the campaign|the apartment|the game").split("|")
    good = ("great|nice|pleasant|helpful|useful|exciting|funny|interesting|clever|convincing|fair|clear|reliable|"
            "comfortable|honest|enjoyable|impressive|inspiring|well made|worth the money").split("|")
    bad = ("terrible|awful|unpleasant|useless|rude|unfair|confusing|ugly|unreliable|weak|silly|annoying|dreadful|"
           "tiring|stupid|poor|painful|horrible|badly made|a waste of money").split("|")
    like = "enjoy|love|admire|trust|appreciate|miss".split("|")
    hate = "dislike|regret|despise|resent|mind".split("|")
    merits = "charm|value|purpose|humour|style|heart|logic|substance".split("|")
    faults = "faults|flaws|delays|errors|weaknesses|downsides".split("|")

    def pick(words: list[str]) -> str:
        return rng.choice(words)

    def frame(kind: int, up: bool) -> str:
        """One sentence with the verdict `up`; `turn` is a word that negation turns into it, `same` one that has it."""
        thing, same, turn = pick(things), pick(good if up else bad), pick(bad if up else good)
        verb = pick(hate if up else like)
        return [
            f"{thing} is not {turn}.", f"{thing} was not {turn} at all.", f"{thing} isn't {turn}.",
            f"not {turn} in the least.",
            f"{thing} was never {turn}.", f"{thing} is anything but {turn}.", f"{thing} was far from {turn}.",
            f"{thing} is hardly {turn}.", f"i would not call {thing} {turn}.", f"nobody thought {thing} was {turn}.",
            f"there is nothing {turn} about {thing}.", f"i don't {verb} {thing}.", f"i didn't {verb} {thing} at all.",
            f"we never {verb} {thing}.", f"{thing} has no {pick(faults if up else merits)}.",
            f"{thing} had no {pick(faults if up else merits)} whatsoever.",
            f"{thing} could not be {'better' if up else 'worse'}.",
            f"{thing} could hardly have been more {pick(good[:10] if up else bad[2:10])}.",
            f"{thing} {'never fails' if up else 'fails'} to {pick(['impress', 'convince', 'please', 'help'])}.",
            f"{thing} {'does not let you down' if up else 'lets you down'}.",
            f"i could {'not ' if up else ''}have wished for a better {thing.split()[-1]}{'' if up else ' than this'}.",
            f"{thing} looked {turn}, but it was {same}.", f"i expected {thing} to be {turn}, but it was {same}.",
            f"{thing} is {turn}? no, it is {same}.", f"{thing} is {same}.", f"{thing} was really {same}.",
            f"{thing} was not only {same}, but also {pick(good if up else bad)}.",
            f"how {same}!" if " " not in same else f"simply {same}.",
            f"i {pick(like[:5] if up else hate[:4])} {thing}.",
        ][kind]

    sentences = {}
    while len(sentences) < count:
        up = rng.random() < 0.5
        sentences[frame(rng.randrange(29), up)] = float(up)
    return [(text[0].upper() + text[1:], target) for text, target in sentences.items()]
