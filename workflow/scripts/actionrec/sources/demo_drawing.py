"""Draw a person in motion: the actions, the body, the scene and the camera of the demo set.

Points are complex numbers x + iy in body heights: x points where the person faces, y down,
and the ground is y = 0. Times are in frames, angles in radians.
"""

import cmath
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

WIDTH, HEIGHT = 160, 120
PANORAMA = 5 * WIDTH

THIGH, SHIN, TORSO, UPPER_ARM, FOREARM, HEAD = 0.25, 0.25, 0.30, 0.16, 0.16, 0.07
LIMB = 0.055
WHEEL, WHEELBASE, CRANK = 0.17, 0.52, 0.07
BOX = 0.42
FALL_FRAMES = 11

# Frames that a cycle of the legs takes: the difference between a walk and a run.
PERIODS: Mapping[str, tuple[int, int]] = {
    "fall_floor": (26, 36),
    "ride_bike": (20, 32),
    "walk": (26, 36),
    "run": (12, 16),
    "push": (28, 40),
}

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """A place, which the videos of one source share. `ground` in pixels from the top."""

    panorama: np.ndarray
    ground: int


@dataclass(frozen=True)
class Appearance:
    """The colours of person and things in a video; `size` is the body's height in pixels."""

    size: int
    skin: Color
    shirt: Color
    trousers: Color
    prop: Color
    bystander: Color


@dataclass(frozen=True)
class Shot:
    """How the person moves in one video, and how the camera does.

    `stride` and `lift` of the feet in body heights; `left`, `middle` and `bystander_at` in
    pixels, `drift` of the camera in pixels a frame; `screen_travel` is the share of the way
    that the person covers in the picture, while the camera follows the rest.
    """

    action: str
    look: Appearance
    frames: int
    period: float
    phase: float
    stride: float
    lift: float
    lean: float
    fall_at: float
    fall_angle: float
    left: int
    middle: float
    screen_travel: float
    drift: float
    mirrored: bool
    blurred: bool
    bystander: str | None
    bystander_at: float


@dataclass(frozen=True)
class Pose:
    """A body at one time; `tilt` turns all of it about the ground point below the hip."""

    hip: complex
    lean: float
    feet: tuple[complex, complex]
    hands: tuple[complex, complex]
    tilt: float = 0.0
    pedals: float | None = None
    box: float | None = None


def draw_scene(rng: np.random.Generator) -> Scene:
    """Draw a place at random."""
    ground = int(rng.integers(100, 113))
    horizon = ground - 8
    coarse = rng.integers(140, 210, (4, 30, 1)) + rng.integers(-12, 13, (4, 30, 3))
    panorama = cv2.resize(coarse.astype(np.uint8), (PANORAMA, HEIGHT))
    for left in rng.integers(0, PANORAMA, 24).tolist():
        top, width = int(rng.integers(5, 70)), int(rng.integers(4, 20))
        shade, tint = rng.integers(140, 220), rng.integers(-15, 16, 3)
        color = (shade + tint).tolist()
        cv2.rectangle(panorama, (left, top), (left + width, horizon), color, -1)
    cv2.rectangle(panorama, (0, horizon), (PANORAMA, HEIGHT), _color(rng, 130, 210), -1)
    return Scene(panorama, ground)


def _draw_appearance(rng: np.random.Generator) -> Appearance:
    return Appearance(
        size=int(rng.integers(76, 94)),
        skin=_color(rng, 40, 120),
        shirt=_color(rng, 0, 90),
        trousers=_color(rng, 0, 90),
        prop=_color(rng, 0, 90),
        bystander=_color(rng, 80, 130),
    )


def draw_shot(action: str, rng: np.random.Generator) -> Shot:
    """Draw at random how person and camera move in one video of `action`."""
    bystander = rng.choice(["", "", "", "bike", "box"])
    shot = Shot(
        action=action,
        look=_draw_appearance(rng),
        frames=int(rng.integers(24, 31)),
        period=rng.uniform(*PERIODS[action]),
        phase=rng.uniform(0, 2 * math.pi),
        stride=rng.uniform(0.15, 0.22),
        lift=rng.uniform(0.06, 0.12),
        lean=rng.uniform(0.0, 0.2),
        fall_at=rng.uniform(2, 9),
        fall_angle=rng.choice([-1, 1]) * rng.uniform(1.35, 1.5),
        left=int(rng.integers(PANORAMA // 3, PANORAMA * 2 // 3 - WIDTH)),
        middle=rng.uniform(0.45, 0.55) * WIDTH,
        screen_travel=1.0,
        drift=rng.uniform(-1, 1) * float(rng.random() < 0.5),
        mirrored=bool(rng.random() < 0.5),
        blurred=bool(rng.random() < 0.3),
        bystander=str(bystander) or None,
        bystander_at=rng.uniform(0, WIDTH),
    )
    path = _travel(shot, shot.frames) * shot.look.size
    return replace(shot, screen_travel=min(1.0, rng.uniform(60, 130) / max(path, 1.0)))


def moves_camera(shot: Shot) -> bool:
    """Tell whether the background moves in the picture."""
    return shot.drift != 0 or shot.screen_travel < 1


def render(scene: Scene, shot: Shot) -> Iterator[np.ndarray]:
    """Yield a video's frames, BGR uint8 of HEIGHT x WIDTH."""
    middle = _travel(shot, shot.frames / 2)
    for time in range(shot.frames):
        path = (_travel(shot, time) - middle) * shot.look.size
        pan = path * (1 - shot.screen_travel) + shot.drift * (time - shot.frames / 2)
        left = shot.left + round(pan)
        frame = scene.panorama[:, left : left + WIDTH].copy()
        _draw_bystander(frame, scene, shot, pan)
        origin = complex(shot.middle + path * shot.screen_travel, scene.ground)
        _draw_person(frame, shot.look, MOTIONS[shot.action](shot, time), origin)
        if shot.blurred:
            frame = cv2.GaussianBlur(frame, (3, 3), 0)
        yield cv2.flip(frame, 1) if shot.mirrored else frame


def _color(rng: np.random.Generator, low: int, high: int) -> Color:
    blue, green, red = rng.integers(low, high, 3).tolist()
    return blue, green, red


# How far and how the body moves in each action.


def _speed(shot: Shot) -> float:
    airborne = {"ride_bike": 7.0, "run": 5.0}
    return airborne.get(shot.action, 4.0) * shot.stride / shot.period


def _travel(shot: Shot, time: float) -> float:
    walked = min(time, shot.fall_at) if shot.action == "fall_floor" else time
    return _speed(shot) * walked


def _angle(shot: Shot, time: float) -> float:
    return shot.phase + 2 * math.pi * time / shot.period


def _stepping(shot: Shot, time: float, hip_height: float = 0.485) -> Pose:
    angle = _angle(shot, time)
    bob = 0.02 * abs(math.sin(angle))
    hip = complex(0, -hip_height + bob)
    shoulder = _shoulder(hip, shot.lean)
    feet = (_foot(shot, angle), _foot(shot, angle + math.pi))
    reach = 0.9 * shot.stride * math.cos(angle)  # arms swing against the legs
    hands = (shoulder + complex(0.05 - reach, 0.24), shoulder + complex(0.05 + reach, 0.24))
    return Pose(hip, shot.lean, feet, hands)


def _foot(shot: Shot, angle: float) -> complex:
    return complex(shot.stride * math.cos(angle), -shot.lift * max(0.0, math.sin(-angle)))


def _pushing(shot: Shot, time: float) -> Pose:
    pose = _stepping(shot, time, hip_height=0.45)
    lean = 0.55 + shot.lean
    near = _shoulder(pose.hip, lean).real + 0.24
    hands = (complex(near, -0.36), complex(near, -0.30))
    feet = (pose.feet[0] - 0.12, pose.feet[1] - 0.12)
    return replace(pose, lean=lean, feet=feet, hands=hands, box=near)


def _riding(shot: Shot, time: float) -> Pose:
    angle = _angle(shot, time)
    crank = complex(0.06, -WHEEL)
    feet = (
        crank + CRANK * cmath.exp(1j * angle),
        crank + CRANK * cmath.exp(1j * (angle + math.pi)),
    )
    hip = complex(-0.06, -WHEEL - 0.42)
    bar = complex(0.33, -WHEEL - 0.36)
    return Pose(hip, 0.4 + shot.lean, feet, (bar, bar + 0.02), pedals=angle)


def _falling(shot: Shot, time: float) -> Pose:
    pose = _stepping(shot, min(time, shot.fall_at))
    done = min(1.0, max(0.0, (time - shot.fall_at) / FALL_FRAMES))
    reach = 0.25 * done * math.copysign(1, shot.fall_angle)
    hands = (pose.hands[0] + reach * (1 - 1j), pose.hands[1] + reach * (1 - 1j))
    return replace(pose, hands=hands, tilt=shot.fall_angle * done**2)


MOTIONS: Mapping[str, Callable[[Shot, float], Pose]] = {
    "fall_floor": _falling,
    "ride_bike": _riding,
    "walk": _stepping,
    "run": _stepping,
    "push": _pushing,
}


# The body and its things, from points to strokes.


def _shoulder(hip: complex, lean: float) -> complex:
    return hip - 1j * TORSO * cmath.exp(1j * lean)


def _bend(root: complex, end: complex, lengths: tuple[float, float], side: int) -> list[complex]:
    upper, lower = lengths
    way = end - root
    distance = min(max(abs(way), abs(upper - lower) + 1e-3), upper + lower - 1e-3)
    way *= distance / abs(way)
    cosine = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
    joint = root + upper * way / distance * cmath.exp(side * 1j * math.acos(cosine))
    return [root, joint, root + way]


def _stroke(
    frame: np.ndarray, points: list[complex], color: Color, thickness: float, closed: bool = False
) -> None:
    corners = np.array([[point.real, point.imag] for point in points]) * 16
    width = max(1, round(thickness))
    cv2.polylines(
        frame, [corners.round().astype(np.int32)], closed, color, width, cv2.LINE_AA, shift=4
    )


def _ring(frame: np.ndarray, center: complex, radius: float, color: Color, width: int) -> None:
    middle = (round(center.real * 16), round(center.imag * 16))
    cv2.circle(frame, middle, round(radius * 16), color, width, cv2.LINE_AA, shift=4)


def _draw_person(frame: np.ndarray, look: Appearance, pose: Pose, origin: complex) -> None:
    def place(points: list[complex]) -> list[complex]:
        lifted = 0.06 * abs(math.sin(pose.tilt))
        turned = [p * cmath.exp(1j * pose.tilt) - 1j * lifted for p in points]
        return [origin + look.size * p for p in turned]

    shoulder = _shoulder(pose.hip, pose.lean)
    head = shoulder - 1j * (HEAD + 0.05) * cmath.exp(0.5j * pose.lean)
    draw = partial(_stroke, frame, thickness=LIMB * look.size)

    def draw_side(side: int, shade: float) -> None:
        trousers, shirt = (_shaded(color, shade) for color in (look.trousers, look.shirt))
        leg = _bend(pose.hip, pose.feet[side], (THIGH, SHIN), -1)
        arm = _bend(shoulder + 0.02j, pose.hands[side], (UPPER_ARM, FOREARM), 1)
        draw(place([*leg, leg[-1] + 0.06]), trousers)
        draw(place(arm), shirt)

    draw_side(1, 1.5)
    if pose.pedals is not None:
        _draw_bike(frame, look.prop, look.size, origin, pose.pedals)
    draw(place([pose.hip, shoulder]), look.shirt, thickness=0.12 * look.size)
    _ring(frame, place([head])[0], HEAD * look.size, look.skin, -1)
    draw_side(0, 1.0)
    if pose.box is not None:
        _draw_box(frame, look.prop, look.size, origin + look.size * pose.box)


def _shaded(color: Color, factor: float) -> Color:
    blue, green, red = (min(255, round(factor * value + 20 * (factor - 1))) for value in color)
    return blue, green, red


def _draw_bike(frame: np.ndarray, color: Color, size: float, origin: complex, angle: float) -> None:
    def at(x: float, y: float) -> complex:
        return origin + size * complex(x, y)

    rear, front, axle = (at(x, -WHEEL) for x in (-WHEELBASE / 2, WHEELBASE / 2 + 0.06, 0.06))
    saddle, bar = at(-0.07, -WHEEL - 0.36), at(0.25, -WHEEL - 0.34)
    for wheel in (rear, front):
        _ring(frame, wheel, WHEEL * size, color, 2)
    _stroke(frame, [rear, saddle, axle, rear], color, 2)
    _stroke(frame, [axle, bar, front], color, 2)
    pedal = CRANK * size * cmath.exp(1j * angle)
    _stroke(frame, [axle - pedal, axle + pedal], color, 2)


def _draw_box(frame: np.ndarray, color: Color, size: float, corner: complex) -> None:
    side = BOX * size
    first = (round(corner.real), round(corner.imag - side))
    cv2.rectangle(frame, first, (round(corner.real + side), round(corner.imag)), color, -1)


def _draw_bystander(frame: np.ndarray, scene: Scene, shot: Shot, pan: float) -> None:
    spot = complex(shot.bystander_at - pan, scene.ground - 4)
    if shot.bystander == "bike":
        _draw_bike(frame, shot.look.bystander, 0.8 * shot.look.size, spot, shot.phase)
    elif shot.bystander == "box":
        _draw_box(frame, shot.look.bystander, 0.8 * shot.look.size, spot)
