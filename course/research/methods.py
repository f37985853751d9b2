"""The methods paragraph: every number from the records, and where there is none, what is not reported."""

from typing import Any

from course.research.agreement import Report
from course.research.codebook import Codebook

REFERENCES = """@article{egami2023using, title={Using imperfect surrogates for downstream inference: Design-based supervised learning for social science applications of large language models}, author={Egami, Naoki and Hinck, Musashi and Stewart, Brandon M. and Wei, Hanying}, journal={Advances in Neural Information Processing Systems}, volume={36}, year={2023}}
@article{angelopoulos2023ppi, title={PPI++: Efficient prediction-powered inference}, author={Angelopoulos, Anastasios N. and Duchi, John C. and Zrnic, Tijana}, journal={arXiv:2311.01453}, year={2023}}
@article{krippendorff2004reliability, title={Reliability in content analysis: Some common misconceptions and recommendations}, author={Krippendorff, Klaus}, journal={Human Communication Research}, volume={30}, number={3}, pages={411--433}, year={2004}}
"""  # noqa: E501 - one entry a line, as reference managers paste it

# The core items of the reporting checklist GUIDE-LLM (https://llm-checklist.com), in words of our own.
ITEMS = (("A.1", "What the model was used for", "use"), ("A.2", "People in the loop", "people"),
         ("B.1", "Model, version, date", "model"), ("B.2", "Where it ran", "access"), ("B.3", "Settings", "settings"),
         ("B.4", "Training or customisation", "training"), ("B.5", "State kept between texts", "state"),
         ("C.1", "Exact prompt", "prompt"), ("C.2", "Instructions to the system", "system"),
         ("D.1", "Personal and sensitive data", "privacy"), ("E.1", "Validation by people", "validation"),
         ("E.2", "Filtering and reformatting", "filtering"), ("F.1", "Code", "code"),
         ("G.1", "Funding and interests", "funding"))


def span(low: float, high: float) -> str:
    return f"[{low:.2f}, {high:.2f}]"


def methods(codebook: Codebook | None = None, agreement: Report | None = None, validation: Report | None = None,
            result: Report | None = None, paths: Report | None = None, *, style: str = "text", units: str = "answers",
            **facts: str) -> str:
    """What a reader needs to judge the study. style: "text" (a paragraph), "guide-llm" (the items of that checklist, in
    Markdown) or "bibtex" (the sources of the methods).

    Numbers come from the records that the tables carry; nothing is filled in by guess. What no record knows is printed as
    "NOT REPORTED: …" until it is given: rule= (how disagreements were resolved), frozen= (when the prompt was fixed), use=,
    privacy=, code=, funding=.
    """
    if style == "bibtex":
        return REFERENCES
    if style not in ("text", "guide-llm"):
        raise ValueError(f"style must be 'text', 'guide-llm' or 'bibtex', got {style!r}")
    said = sentences(codebook, agreement, validation, result, paths, units, facts)
    if style == "text":
        return " ".join(said.values())
    record = run_of(validation, result)
    known = record.get("model") is not None
    answers = {
        "people": said["coders"], "validation": said["validation"],
        "model": f"{record['model']}, revision {record['revision']}, {record['date']}" if known else None,
        "access": f"on the author's own machine, offline ({record['device']}, {record['dtype']})" if known else None,
        "settings": f"method {record['method']}, style {record['style']}, seed {record['seed']}; every legal label is scored, "
                    "nothing is sampled" if known else None,
        "training": (f"trained on {len(record['train_ids'])} hand-coded {units}, none in the test" if record["train_ids"]
                     else "none") if known else None,
        "state": "none: each text is read on its own" if known else None,
        "prompt": "\n\n```\n" + record["prompt"] + "\n```" if known else None,
        "system": "none beside the prompt" if known else None,
        "filtering": f"{record['empty']} empty texts got no label; {record['truncated']} were cut at the model's limit; "
                     "answers outside the codebook are impossible" if known else None} | facts
    lines = [f"- **{code} {title}:** {answers.get(key) or missing(title.lower())}" for code, title, key in ITEMS]
    return "\n".join(lines)


def missing(what: str) -> str:
    return f"NOT REPORTED: {what}."


def run_of(*reports: Report | None) -> dict[str, Any]:
    """The record of the run that these tables came from."""
    return next((r.record for r in reports if r is not None and (getattr(r, "record", None) or {}).get("model")), {})


def sentences(codebook: Codebook | None, agreement: Report | None, validation: Report | None, result: Report | None,
              paths: Report | None, units: str, facts: dict[str, str]) -> dict[str, str]:
    """The paragraph, a sentence or two for each part of the study."""
    record = run_of(validation, result)
    version = "" if codebook is None else f" with a codebook of {len(codebook)} labels (version {codebook.hash})"
    said = {}
    if agreement is not None:
        alpha = agreement[agreement["coefficient"] == "alpha"].iloc[0]
        said["coders"] = (f"{int(alpha['coders'])} coders independently coded {int(alpha['units'])} {units}{version}; "
                          f"Krippendorff's alpha = {alpha['value']:.2f} {span(alpha['low'], alpha['high'])} "
                          f"({alpha['level']}).")
    else:
        said["coders"] = missing(f"how many people coded{version or ' with which codebook'}, and how far they agree")
    said["rule"] = (f"Disagreements were resolved by {facts['rule']}." if facts.get("rule") else
                    missing("how disagreements were resolved (rule=)"))
    if record:
        said["machine"] = (f"{record['model']} (revision {record['revision']}, {record['method']}, seed {record['seed']}, run "
                           f"offline on {record['date']}) labelled {record['texts']} {units}; {record['empty']} "
                           "were empty and got no label.")
        if codebook is not None and record["codebook_hash"] != codebook.hash:
            said["changed"] = (f"The codebook changed after the machine had read it (version {record['codebook_hash']} then, "
                               f"{codebook.hash} now).")
    else:
        said["machine"] = missing("which model labelled the texts, in which version")
    frozen = facts.get("frozen")
    fixed = f"The prompt was fixed {frozen}." if frozen else missing("when the prompt was fixed (frozen=)")
    if validation is not None:
        scores = validation.set_index("label")
        macro = scores.loc["macro F1"]
        classes = scores.drop(["accuracy", "macro F1"]).dropna(subset="recall")
        worst = classes["recall"].idxmin()
        low = classes.loc[worst]
        said["validation"] = (f"{fixed} On {validation.record['n_test']} hand-coded {units} that were drawn at random and did "
                              f"not train it, macro F1 was {macro['f1']:.2f} {span(macro['f1_low'], macro['f1_high'])}; recall "
                              f"was lowest for {worst} ({low['recall']:.2f} {span(low['recall_low'], low['recall_high'])}).")
    else:
        said["validation"] = f"{fixed} {missing('how well the machine labels agree with hand codes')}"
    if result is not None:
        rows = result[result["term"] == result["term"].iloc[-1]].set_index("method")
        best, naive = rows.loc["corrected"], rows.loc["naive"]
        of = f"the {result.record['n_corpus']} {units} at hand" if result.record["target"] == "corpus" else (
            f"{units} like these" + (f", with clusters by {result.record['cluster']}" if result.record["cluster"] else ""))
        said["estimate"] = (f"Estimates for {result.record['formula']} speak of {of} and combine machine labels with "
                            f"{result.record['n_hand']} hand codes ({result.record['design']}; design-based correction, λ = "
                            f"{result.record['lambda']:.2f}; Egami et al. 2023, Angelopoulos et al. 2023): {best.name} "
                            f"{best['estimate']:.3f} {span(best['low'], best['high'])} for {best['term']}; without correction "
                            f"the estimate would be {naive['estimate']:.3f} {span(naive['low'], naive['high'])}.")
    else:
        said["estimate"] = missing("how many hand codes corrected the estimates, and how they were drawn")
    if paths is not None:
        found = paths[paths["method"] == "corrected"]["estimate"]
        said["paths"] = (f"Under {paths.record['paths']} combinations of method, model and wording the corrected estimate "
                         f"ranged from {found.min():.3f} to {found.max():.3f}.")
    else:
        said["paths"] = missing("whether another model or wording would have led to another conclusion")
    return said
