from thalweg.augment._technique import augmentation
from thalweg.augment.text._misread import misread
from thalweg.technique import Uniform


@augmentation(
    medium="text",
    stage="letters",
    source="Namysl, Behnke & Köhler 2020, NAT: Noise-Aware Training for Robust Neural Sequence Labeling (2005.07162)",
    space={"share": Uniform(0.02, 0.3)},
    limits={"share": "[0, 1]", "at_least": "whole [0, inf)", "at_most": "whole [0, inf)"},
)
def ocr(word, u1, u2, *, share=0.1, at_least=1, at_most=10, stop="", p=1.0):
    """One letter of a word, or two neighbours, become what optical character recognition takes them for.

    *m* is read as *rn*, *cl* as *d*, *l* as *1* or *I*, as often as was counted in scanned papers. Capitals can
    become small letters, and small ones capitals. ``keyboard`` and ``typo`` make the slips of those who write.

    Use it where the texts that the model reads will come from scans.

    Source: Namysl, Behnke & Köhler 2020, sections 3.1 and 3.2; rates counted in the errors of Bast, Hertel & Mohamed
    2021 (2010.07878); nlpaug: ``OcrAug``.
    """
    return misread(word.text, u1, u2)
