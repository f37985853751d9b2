"""From texts to a claim: codebook, coders, agreement, machine coding, validation, corrected estimates, methods text."""

from course.research.agreement import agreement
from course.research.annotate import annotate, multiverse, read_record
from course.research.codebook import Codebook, Label
from course.research.coding import adjudicate, code_by_hand, coding_form, disagreements, find_pii, read_codes
from course.research.evidence import estimate, plan, sample, validate
from course.research.methods import methods

__all__ = ["Codebook", "Label", "adjudicate", "agreement", "annotate", "code_by_hand", "coding_form", "disagreements",
           "estimate", "find_pii", "methods", "multiverse", "plan", "read_codes", "read_record", "sample", "validate"]
