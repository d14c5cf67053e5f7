"""Every planted defect, by name: the rows of docs/planted-defects.md.

What is taken away is in `worlds`, `rules`, `promised`, `told`, `directed` and `regressions`; here it is said what must then be found, and how.
"""

from __future__ import annotations

from tests.controls.planted_engine import ENGINE
from tests.controls.planted_outbox import OUTBOX
from tests.controls.planted_own import OWN
from tests.controls.planted_product import PRODUCT
from tests.controls.planted_rules import RULES
from tests.controls.registry import Control

SECTIONS: dict[str, list[Control]] = {
    "The consensus library": ENGINE,
    "The rules and the design": RULES,
    "The promises of the product": PRODUCT,
    "The promises of the outbox": OUTBOX,
    "Our own, brought back": OWN,
}
CONTROLS: dict[str, Control] = {
    control.name: control for controls in SECTIONS.values() for control in controls
}
