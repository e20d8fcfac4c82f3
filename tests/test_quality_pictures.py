"""What the desk says of every picture of the quality set: the table of expected reasons.

A profile, a head upside down and a face hidden by a mask are not found at all: there the
reason is that no single face is present. A drawing of a face is a face to the engine.
"""

from __future__ import annotations

import pytest

from enrollment.capture import SINGLE_FACE, judge
from enrollment.photos import read_photo
from enrollment.prints import PRESENTATION
from models.faces.quality import Reason
from tests.conftest import DATA
from tests.desk import load_engine, load_pair, photo

GOOD: tuple[str, ...] = ()
NOBODY = (SINGLE_FACE,)

EXPECTED: dict[str, tuple[str, ...]] = {
    "bulk/Nathalie_Baye_0002.jpg": GOOD,
    "bulk/Rob_Lowe_0001.jpg": GOOD,
    "bulk/Rob_Lowe_0002.jpg": GOOD,
    "bulk/blur.jpg": (Reason.TOO_DARK, Reason.NOT_SHARP),
    "bulk/face_sample.png": GOOD,
    "bulk/image_T1.jpeg": GOOD,
    "bulk/jntm.jpg": GOOD,
    "bulk/jntm.png": GOOD,
    "bulk/kun.jpg": GOOD,
    "bulk/kun_cartoon_crop.jpg": GOOD,
    "bulk/kun_cartoon_crop_r90.jpg": NOBODY,
    "bulk/kun_crop.jpg": GOOD,
    "bulk/mask.png": NOBODY,
    "bulk/mask2.jpg": (Reason.MOUTH_COVERED,),
    "bulk/r0.jpg": GOOD,
    "bulk/r90.jpg": NOBODY,
    "bulk/r180.jpg": NOBODY,
    "bulk/r270.jpg": NOBODY,
    "bulk/rgb_fake.jpg": (PRESENTATION,),
    "bulk/view.jpg": NOBODY,
    "bulk/woman.png": GOOD,
    "bulk/woman_search.jpeg": GOOD,
    "bulk/yifei.jpg": (Reason.TURNED,),
    "crop/crop.png": GOOD,
    "crop/crop_mask.png": NOBODY,
    "crop/no_face.png": NOBODY,
    "emotion/anger.png": (Reason.TILTED_UP_OR_DOWN,),
    "emotion/happy.png": GOOD,
    "emotion/sad.png": GOOD,
    "pose/left_face.jpeg": (Reason.TURNED,),
    "pose/left_wryneck.png": NOBODY,
    "pose/lower_face.jpeg": (Reason.TURNED, Reason.TILTED_UP_OR_DOWN),
    "pose/right_face.png": NOBODY,
    "pose/right_wryneck.png": (Reason.TILTED_SIDEWAYS,),
    "pose/rise_face.jpeg": (Reason.TILTED_UP_OR_DOWN,),
    "reaction/close_eyes.jpeg": (Reason.EYES_CLOSED,),
    "reaction/close_open_eyes.jpeg": (Reason.TILTED_UP_OR_DOWN,),
    "reaction/open_eyes.png": GOOD,
    "rotate/rot_0.jpg": GOOD,
    "rotate/rot_90.jpg": NOBODY,
    "rotate/rot_180.jpg": NOBODY,
    "rotate/rot_270.jpg": NOBODY,
}


@pytest.mark.parametrize(("name", "reasons"), EXPECTED.items(), ids=EXPECTED)
def test_each_picture_gets_its_reasons(name: str, reasons: tuple[str, ...]) -> None:
    frame = read_photo(photo(f"faces/quality/{name}"))
    found = tuple(reason for reason, _words in judge(load_engine(), frame, load_pair()).reasons)
    assert found == reasons


def test_the_table_has_every_picture_of_the_set() -> None:
    folder = DATA / "faces" / "quality"
    photo("faces/quality/bulk/view.jpg")
    pictures = {".jpg", ".jpeg", ".png"}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.suffix in pictures}
    assert set(EXPECTED) == there
