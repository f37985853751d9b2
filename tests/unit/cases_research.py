"""Right and wrong answers to the exercises of lessons 10 to 12, for test_checks.py."""

import numpy as np
import pandas as pd

from course import load_dataset
from course.checks import lesson_10, lesson_11, lesson_12
from course.research import Codebook, Label, agreement, estimate, sample

FIRST = Codebook("traffic", "?", {"transport": "getting there", "environment": "nature, noise", "safety": "crime"})
OLD = FIRST.labels


def book(transport=OLD["transport"], environment=OLD["environment"], more=()):
    return Codebook("traffic", "?", [transport, environment, OLD["safety"], *more])


AWAY = Label("transport", "getting there", exclude="noise of lorries")
HOME = Label("environment", "nature, air", include="noise, of traffic too")
SURVEY = load_dataset("local_life")
DIFFER = SURVEY[SURVEY["topic_a"] != SURVEY["topic_b"]]
MOST = DIFFER.apply(lambda row: " / ".join(sorted([row["topic_a"], row["topic_b"]])), axis=1).value_counts().iloc[0]
TODAY = 1 - len(DIFFER) / 900

# ten answers, one of them empty; six of the nine others are right by name, eight by definition
BY_NAME = pd.DataFrame({"topic_a": ["a"] * 9 + ["other"], "label": ["a"] * 6 + ["b"] * 3 + [None], "valid": [True] * 9 + [False]})
BY_DEFINITION = BY_NAME.assign(label=["a"] * 8 + ["b", None])
EVEN = sample(SURVEY, 100, by="area", equal=True, seed=7)
VILLAGE = (SURVEY["area"] == "village").sum() / 25
TOPICS = ["topic_a", "topic_b", "topic_c"]
COMPLETE = SURVEY.dropna(subset=TOPICS)

# 500 answers of which the machine is right in 0.9 where it is sure and in 0.4 where it is not; 20 have no label
_random = np.random.default_rng(0)
_margin = _random.random(500)
MACHINE = pd.DataFrame({"topic_a": ["a"] * 500, "margin": _margin,
                        "label": np.where(_random.random(500) < 0.4 + 0.5 * _margin, "a", "b").astype(object), "valid": True})
MACHINE.loc[:19, ["label", "valid", "margin"]] = None, False, np.nan
LABELLED = MACHINE[MACHINE["valid"]]
RIGHT = LABELLED["label"] == LABELLED["topic_a"]
UNSURE, OVERALL = RIGHT[LABELLED.nsmallest(200, "margin").index].mean(), RIGHT.mean()
SURE = RIGHT[LABELLED.nlargest(200, "margin").index].mean()

TEXTS = SURVEY.dropna(subset="answer").assign(far=lambda t: t["area"].isin(["village", "suburb"]) * 1.0, id=lambda t: t.index)
CODED = TEXTS.assign(label=TEXTS["topic_b"])
CALLED, TRUE = CODED["label"] == "transport", TEXTS["topic_a"] == "transport"
SIDES, BY_HAND = CALLED.groupby(TEXTS["far"]).mean(), TRUE.groupby(TEXTS["far"]).mean()
NAIVE, TRUTH = SIDES[1.0] - SIDES[0.0], BY_HAND[1.0] - BY_HAND[0.0]
MISSED, ALARMS = 1 - CALLED[TRUE].mean(), CALLED[~TRUE].mean()
GOLD = sample(TEXTS, 200, seed=11)


def far_rows(weight=None, machine=CODED):
    rows = estimate("transport ~ far", machine, GOLD, gold_label="topic_a", target="corpus", weight=weight)
    return rows[rows["term"] == "far"]


FAR = far_rows()
RATIO = FAR["se"].iloc[1] / FAR["se"].iloc[2]
SHUFFLED = CODED.assign(label=CODED["label"].sample(frac=1, random_state=0).to_numpy())
ERRORS = {weight: far_rows(weight, SHUFFLED)["se"].iloc[-1] for weight in (0.0, 0.25, 0.5, 0.75, 1.0)}
BEST = min(ERRORS, key=ERRORS.get)
LOSS = ERRORS[1.0] / ERRORS[0.0]
RESULT = estimate("transport ~ far", CODED, GOLD, gold_label="topic_a", target="corpus")
BEGIN = f"Coded with a codebook (version {FIRST.hash}) and 200 hand codes. "
HONEST = BEGIN + "Disagreements were resolved by taking the code of coder A. The prompt was fixed after two had met the test. "

RESEARCH = {
    lesson_10.rule: (
        (FIRST,), (book(AWAY, HOME),),
        [((FIRST,), "nothing changed"), ((book(Label("transport", "streets")),), "looks only at"),
         ((book(AWAY, Label("environment", "nature, air")),), "Who takes it"), ((book(environment=HOME),), "looks only at"),
         ((book(Label("transport", "noise of cars", exclude="noise"), Label("environment", "nature"),),), "Which of the two"),
         ((book(Label("transport", "traffic and its noise")),), "both take noise in"), ((book(AWAY, HOME, ["other"]),), "labels changed"),
         ((book(OLD["transport"], Label("environment", "nature")),), "no label speaks"), (({"transport": "no noise"},), "should be a Codebook")]),
    lesson_10.after_the_rule: (
        (SURVEY,), (TODAY + MOST / 900,),
        [((TODAY,), "today"), ((1 - TODAY - MOST / 900,), "still differ"), ((MOST / 900,), "how much the rule settles"),
         ((MOST / len(DIFFER),), "how much the rule settles"), ((0.5,), "is not it"), (("78 %",), "one number")]),
    lesson_10.words_matter: (
        (BY_NAME, BY_DEFINITION), (6 / 9, 8 / 9),
        [((8 / 9, 6 / 9), "each other's place"), ((0.6, 0.8), "counts the empty answers"), ((3 / 9, 1 / 9), "share on which they differ"),
         ((6 / 9, 0.5), "`share_definition` is 0.500"), ((BY_NAME["valid"], 0.5), "one number")]),
    lesson_10.stands_for: (
        (SURVEY,), (EVEN, VILLAGE),
        [((sample(SURVEY, 100, seed=7), 9.0), "Which option"), ((sample(SURVEY, 80, by="area", equal=True), VILLAGE), "20 of each"),
         ((EVEN, 1 / VILLAGE), "probability itself"), ((EVEN, 9.0), "simple random sample"), ((EVEN, 3.0), "is not it"),
         ((EVEN["answer"], 3.0), "column pi"), ((EVEN, "8"), "one number")]),
    lesson_11.paradox: (
        (), (0.944, (123 * 120 + 10) / 125**2, (0.944 - (123 * 120 + 10) / 125**2) / (1 - (123 * 120 + 10) / 125**2)),
        [((118, 0.9449, -0.02), "divide by all 125"), ((0.944, 0.5, 0.888), "toss coins"), ((0.944, 0.9, 0.4), "chance is 0.900"),
         ((0.944, 0.9454, 0.4), "kappa is 0.400"), (("94 %", 0.9449, -0.02), "one number")]),
    lesson_11.complete_cases: (
        (SURVEY,), (0.811362, 1350),
        [((0.764385, 1350), "alpha with all codes"), ((0.735106, 1350), "A and B alone"), ((0.5, 1350), "row called alpha"),
         ((0.811362, 675), "How many codes"), ((0.811362, 900), "filled cells"), ((COMPLETE, 1350), "one number")]),
    lesson_11.least_sure: (
        (MACHINE,), (UNSURE, OVERALL),
        [((SURE, OVERALL), "surest"), ((OVERALL, UNSURE), "each other's place"), ((UNSURE, OVERALL * 480 / 500), "which have no label"),
         ((UNSURE, 0.1), "Which two columns"), ((0.1, OVERALL), "200 smallest margins"), ((RIGHT, OVERALL), "one number")]),
    lesson_11.rare: (
        (), (62, 1240),
        [((385, 7700), "which share"), ((97, 1940), "which share"), ((12, 240), "12 cases"), ((62, 3.1), "fewer answers"),
         ((62, 620), "620 answers"), (("62", 1240), "one number")]),
    lesson_12.naive: (
        (CODED, TEXTS), (NAIVE, MISSED, ALARMS),
        [((-NAIVE, MISSED, ALARMS), "near minus far"), ((TRUTH, MISSED, ALARMS), "by coder A"), ((0.5, MISSED, ALARMS), "+0.500"),
         ((NAIVE, 1 - MISSED, ALARMS), "what it finds"), ((NAIVE, 0.9, ALARMS), "only those"), ((NAIVE, MISSED, 0.5), "divided by which"),
         ((SIDES, MISSED, ALARMS), "one number")]),
    lesson_12.worth: (
        (FAR,), (200 * RATIO**2,),
        [((200 * RATIO,), "square root"), ((200 / RATIO**2,), "fewer codes"), ((900,), "Which two rows"), (("many",), "one number")]),
    lesson_12.guessing: (
        (CODED, GOLD), (BEST, LOSS),
        [((1.0, LOSS), "Is there a smaller one"), ((0.3, LOSS), "none of the five"), ((BEST, 1 / LOSS), "which one is larger"),
         ((BEST, 3.0), "Which two standard errors"), (("0", LOSS), "one number")]),
    lesson_12.paragraph: (
        (FIRST, RESULT), (HONEST,),
        [((None,), "Did you only print it"), (("A fine study.",), "does not carry"),
         ((HONEST + "NOT REPORTED: how disagreements were resolved (rule=).",), "still open: how disagreements"),
         ((BEGIN + "Disagreements were resolved by talking. The prompt was fixed after.",), "only one column"),
         ((HONEST.replace("after two had met", "before we drew"),), "was the wording fixed before")]),
}

RESEARCH_OTHERS = {
    lesson_10.rule: [(book(Label("transport", "getting there", exclude="Noise: see environment"), Label("environment", "nature, noise")),),
                     (book(Label("transport", "getting there and its noise"), Label("environment", "nature, air", exclude="noise")),)],
    lesson_10.after_the_rule: [(100 * (TODAY + MOST / 900),), (round(TODAY + MOST / 900, 2),)],
    lesson_10.words_matter: [(66.7, 88.9), (0.67, 0.89)],
    lesson_10.stands_for: [(sample(SURVEY, 100, by=["area"], equal=True, seed=1), VILLAGE), (EVEN, round(VILLAGE, 1))],
    lesson_11.paradox: [(94.4, 94.5, -0.02), (np.float64(118 / 125), 0.9451, -0.0234)],
    lesson_11.complete_cases: [(0.81, 1350), (agreement(COMPLETE, TOPICS, resamples=2).set_index("coefficient").value["alpha"], 1350.0)],
    lesson_11.least_sure: [(round(UNSURE, 2), round(OVERALL, 2)), (100 * UNSURE, 100 * OVERALL)],
    lesson_11.rare: [(61.46, 1229), (np.int64(62), 62 * 20)],
    lesson_12.naive: [(round(NAIVE, 2), round(MISSED, 2), round(ALARMS, 2)), (np.float64(NAIVE), 100 * MISSED, 100 * ALARMS)],
    lesson_12.worth: [(round(200 * RATIO**2),), (np.float64(200 * RATIO * RATIO),)],
    lesson_12.guessing: [(int(BEST) if BEST == 0 else BEST, round(LOSS, 2)), (np.float64(BEST), LOSS)],
    lesson_12.paragraph: [(HONEST.replace("taking the code of coder A", "nobody; one coder alone was used"),),
                          (BEGIN + "Disagreements were not resolved. The prompt was fixed late, not before the test sample.",)],
}
